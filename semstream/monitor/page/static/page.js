// The page in the browser: shows what the server has rendered, and sends what is moved.
"use strict"

const $ = id => document.getElementById(id)
const token = new URLSearchParams(location.search).get("token") || ""
const INSIDE = ["pictures", "edges", "log", "head", "flow", "numbers", "band"]  // parts in HTML, by the element that they go into
let socket = null, bokeh = null, run = "", branches = [], shown = {metric: "", branch: ""}
let state = {state: ""}, mayChange = false, over = false, retry = 1000

// -- the server ----------------------------------------------------------------------------------------------------

function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}${location.pathname}live`)
  socket.onopen = () => { retry = 1000; over = false; send({op: "hello", token}); look() }
  let last = Promise.resolve()  // one message after the other, in their order
  socket.onmessage = event => {
    last = last.then(() => take(JSON.parse(event.data))).catch(error => {
      console.error(error)
      socket.close()  // comes again, and gets the whole page
    })
  }
  socket.onclose = () => {
    waiting.clear(); inFlight = null
    allow(false)
    banner()
    setTimeout(connect, retry)
    retry = Math.min(5000, retry * 1.5)
  }
}

function send(request) {
  if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify(request))
}

async function take(message) {
  if (message.waiting) { $("said").textContent = message.waiting; return }
  if ("document" in message) await begin(message)
  if ("silent" in message) { state.silent = message.silent; banner() }
  if (message.over) { over = true; banner() }
  if ("access" in message) allow(message.access, message.why)
  if ("reply" in message) replied(message)
  if (message.parts) parts(message.parts)
  if (message.patch && bokeh) bokeh.apply_json_patch(message.patch)
  if ("sweeping" in message) { pageSweeps = message.sweeping; buttons() }
}

// -- what is shown -------------------------------------------------------------------------------------------------

let views = []

async function begin(message) {
  const another = run && message.run !== run
  for (const view of views) view.remove()
  while (Bokeh.documents.length) Bokeh.documents.pop()
  $("grid").hidden = false
  branches = message.branches
  if (another) { built = ""; builtSettings = "" }
  run = message.run
  const metrics = Object.keys(message.roots).filter(p => p.startsWith("quality ")).map(p => p.split(" ")[1])
  if (!metrics.includes(shown.metric)) shown.metric = metrics[0]
  if (!branches.includes(shown.branch)) shown.branch = branches[0] || ""
  const names = {psnr_db: "PSNR", ms_ssim: "MS-SSIM", lpips: "LPIPS"}
  tabs("metrics", metrics, "metric", m => names[m] || m)
  tabs("branches", branches, "branch", b => b)
  const roots = {}
  for (const place of ["quality", "time", "constellation", "bits", "gains", "latency"]) $(place).replaceChildren()
  for (const [place, id] of Object.entries(message.roots)) {
    const [where, which] = [place.split(" ")[0], place.split(" ").slice(1).join(" ")]
    const box = document.createElement("div")
    box.id = `plot-${id}`
    box.dataset.which = which
    $(where).append(box)
    roots[id] = box.id
  }
  choose()
  views = await Bokeh.embed.embed_items({run: message.document}, [{docid: "run", roots, root_ids: Object.keys(roots)}])
  bokeh = Bokeh.documents[0]
  parts(message.parts)
  look()
  if (another) say("Another run has begun here; the page has begun anew.")
}

function parts(new_) {
  for (const name of INSIDE) if (name in new_) $(name).innerHTML = new_[name]
  if ("band" in new_) $("sharing").hidden = !new_.band
  if ("head" in new_) document.title = `semstream: ${$("head").querySelector("h1").textContent}`
  if (new_.state) { state = new_.state; banner(); allow(mayChange); buttons() }
  if (new_.controls) showControls(new_.controls)
  if (new_.settings) showSettings(new_.settings)
}

function tabs(id, names, what, title) {
  $(id).replaceChildren(...names.map(name => {
    const button = document.createElement("button")
    button.textContent = title(name)
    button.dataset.name = name
    button.onclick = () => { shown[what] = name; choose(); look() }
    return button
  }))
  $(id).hidden = names.length < 2
}

function choose() {
  const which = {quality: shown.metric, constellation: shown.branch, bits: shown.branch, gains: shown.branch}
  for (const [place, name] of Object.entries(which))
    for (const box of $(place).children) box.hidden = box.dataset.which !== name
  for (const [id, name] of [["metrics", shown.metric], ["branches", shown.branch]])
    for (const button of $(id).children) button.classList.toggle("on", button.dataset.name === name)
}

function look() { send({op: "look", branches: shown.branch ? [shown.branch] : []}) }

function banner() {
  const open = socket && socket.readyState === WebSocket.OPEN
  const pill = $("state")
  pill.hidden = !state.state
  let label = state.label, words = state.words || "", kind = state.state
  if (!words && (state.silent || !open || over)) {
    label = "link gone"
    kind = "lost"
    words = "The link no longer answers. What had arrived stands here; the page goes on when it answers again."
  } else if (words && !open) words += " Its command has left: nothing more will come until another one begins here."
  pill.textContent = label
  pill.style.background = kind === "lost" ? "var(--warn)" : state.colour
  $("words").hidden = !words
  $("words").textContent = words
  $("words").className = `banner ${kind}`
}

function say(text, bad) {
  $("said").textContent = text
  $("said").classList.toggle("bad", Boolean(bad))
}

function allow(may, why) {
  mayChange = may
  const locked = !may || Boolean(state.words)  // a link that is over has nothing to steer
  $("steer").classList.toggle("locked", locked)
  $("more").classList.toggle("locked", locked)
  for (const item of document.querySelectorAll("#steer input, #steer select, #steer button, #settings input, #settings select"))
    item.disabled = locked
  if (why !== undefined) say(why)
}

// -- what is moved -------------------------------------------------------------------------------------------------

// One request is under way; of those that wait, the newest of each widget is kept: a slider that is dragged sends as
// fast as the link takes its values.
const waiting = new Map()
let inFlight = null, count = 0

function ask(request) {
  waiting.set([request.op, request.control, request.scope, request.block, request.name].join(" "), request)
  next()
}

function next() {
  if (inFlight !== null || !waiting.size) return
  const [key, request] = waiting.entries().next().value
  waiting.delete(key)
  inFlight = ++count
  send({...request, id: inFlight})
}

function replied(message) {
  if (message.reply === inFlight) inFlight = null
  say(message.error || message.done, message.error)
  next()
}

const number = value => typeof value === "string" ? Number(value.replace("inf", "Infinity")) : value
const busy = item => item === document.activeElement && item.matches(":active, select:focus, [type=text]:focus, [type=number]:focus")
let built = "", paused = false, sweeping = false, pageSweeps = false, controls = []

function showControls(controls_) {
  controls = controls_
  const bar = $("steer")
  const shape = JSON.stringify(controls.map(c => [c.id, c.kind, c.choices, c.scopes]))
  if (shape !== built) {
    built = shape
    bar.replaceChildren(...controls.map(control))
    bar.append(button("pause", () => ask({op: "pause", value: !paused})))
    if (controls.some(c => c.id === "snr")) bar.append(button("sweep", () => ask({op: "sweep", value: !sweeping})))
    bar.hidden = false
    $("more").hidden = false
    allow(mayChange)
  }
  for (const c of controls) {
    const input = $(`control-${c.id}`)
    if (!busy(input)) {
      if (c.kind === "choice") input.value = c.value === null ? "" : c.value
      else if (c.value !== null && Number.isFinite(number(c.value))) input.value = number(c.value)
    }
    if (c.kind === "slider" && !busy(input)) $(`value-${c.id}`).textContent = valueWords(c)
  }
  buttons()
}

function valueWords(c) {
  if (c.value === null) return c.scopes.length ? "differ" : "–"
  const value = number(c.value)
  return Number.isFinite(value) ? `${value}${c.unit === "dB" ? " dB" : ""}` : "error-free"
}

function buttons() {
  paused = state.state === "paused"
  sweeping = pageSweeps || controls.some(c => c.sweeping)
  toggle("pause", paused, "go on")
  toggle("sweep", sweeping, "stop sweep")
}

function toggle(name, on, other) {
  const item = $(`button-${name}`)
  if (!item) return
  item.classList.toggle("on", on)
  item.textContent = on ? other : name
}

function button(name, act) {
  const item = document.createElement("button")
  item.id = `button-${name}`
  item.textContent = name
  item.onclick = act
  return item
}

function control(c) {
  const label = document.createElement("label")
  label.className = `control ${c.id}`
  label.append(c.title)
  const input = document.createElement(c.kind === "choice" ? "select" : "input")
  input.id = `control-${c.id}`
  const scope = c.scopes.length ? scopes(c) : null
  const go = value => ask({op: "steer", control: c.id, value, scope: scope ? scope.value : ""})
  if (c.kind === "choice") {
    input.append(option("", "differ"), ...c.choices.map(name => option(name, name)))
    input.firstChild.hidden = true
    input.onchange = () => go(input.value)
  } else {
    Object.assign(input, {type: "range", min: c.low, max: c.high, step: c.step})
    input.oninput = () => {
      $(`value-${c.id}`).textContent = valueWords({...c, value: Number(input.value)})
      go(Number(input.value))
    }
  }
  label.append(input)
  if (c.kind === "slider") label.append(Object.assign(document.createElement("output"), {id: `value-${c.id}`}))
  if (scope) label.append(scope)
  return label
}

function scopes(c) {
  const select = document.createElement("select")
  select.title = "which branches it moves"
  select.append(option("", "all"), ...c.scopes.map(name => option(name, name)))
  return select
}

function option(value, text) { return Object.assign(document.createElement("option"), {value, textContent: text}) }

// -- all live settings ---------------------------------------------------------------------------------------------

let builtSettings = ""

function showSettings(blocks) {
  const shape = JSON.stringify(blocks.map(b => [b.block, b.settings.map(s => [s.name, s.kind])]))
  if (shape !== builtSettings) {
    builtSettings = shape
    $("settings").replaceChildren(...blocks.map(group))
    allow(mayChange)
  }
  for (const b of blocks) for (const s of b.settings) {
    const item = $(`set-${b.block}-${s.name}`)
    if (item === document.activeElement) continue
    if (s.kind === "boolean") item.checked = s.value
    else item.value = Array.isArray(s.value) ? s.value.join(", ") : s.value === null ? "" : s.value
  }
}

function group(b) {
  const box = document.createElement("div")
  const title = document.createElement("h3")
  title.textContent = b.block
  box.append(title, ...b.settings.map(s => setting(b.block, s)))
  return box
}

function setting(block, s) {
  const label = document.createElement("label")
  label.title = s.description
  label.append(s.unit ? `${s.name} (${s.unit})` : s.name)
  const item = document.createElement(s.kind === "choice" ? "select" : "input")
  item.id = `set-${block}-${s.name}`
  const go = (value, typed) => ask({op: "set", block, name: s.name, value, typed})
  if (s.kind === "choice") {
    item.append(...s.choices.map(name => option(name, name)))
    item.onchange = () => go(item.value)
  } else if (s.kind === "boolean") {
    item.type = "checkbox"
    item.onchange = () => go(item.checked)
  } else {
    item.type = "text"
    item.inputMode = s.kind === "text" ? "text" : "decimal"
    item.onchange = () => go(item.value, true)
  }
  label.append(item)
  return label
}

connect()
