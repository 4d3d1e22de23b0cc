"""Parts of tools/bench.py.

`report`   results, tables and goals, as text, markdown and JSON; `facts`: the machine.
`workers`  measurements run in fresh processes, so that no part disturbs the next.
`traffic`  what is sent and how it is timed, the same for every system: `edge_ours`, `edge_zmq`, `edge_ezmsg`.
`hop`, `age`, `chain`, `pack`, `link`, `overhead`: the parts of the bench.
"""
