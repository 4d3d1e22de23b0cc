"""Durable edges: every frame exactly once at every sink, though blocks, processes, connections and programs die.

**Who keeps what.** Each sender of a durable edge keeps a frame until its receiver has acknowledged it, and a node
acknowledges what it took only when all that came of it is acknowledged: the frames and gaps that it gave, by their
receivers, and the records that it published, by the owner. So acknowledgement runs from the sinks back to the sources,
and whichever node dies, what it had not finished is still kept by its neighbours before it. A frame that is left out
knowingly (`SkipFrame`, an unmatched partner in a join) is a gap, which is kept and acknowledged as a frame is.

**Who starts again.** The owner starts a dead node anew by its restart policy and tells its neighbours. Senders give the
new receiver, in order, what they keep for it; receivers dial the new sender. A source gives its frames again: it is
played forward to the last item that all sinks have, without sending (``durable=True``), or reads what it had given
from files (``durable="disk"``, which a source that cannot give its frames again needs).

**Once.** A receiver knows the frames of a port by (stream, seq). One that comes again is not worked on again; it is
acknowledged when (or because) the first one is. So a block on a durable edge gives at most one frame of a number on
each port, unless it renumbers. The owner knows records by (block, stream, seq, place), and counts each once.

**State.** A node whose next output depends on more than the frame at hand keeps snapshots: blocks that declare `state`,
that renumber, that join several inputs or put replicas' frames in order, and sources. A snapshot holds the state and
which frames it has in it. It is valid once all of these are acknowledged downstream; then it is written, and only then
are they acknowledged upstream. Everything else must follow from (settings, seed, frame): so it is with every block of
semstream, whose noise is drawn by (seed, block, seq). Files that a sink writes are cut back to the snapshot and go on.

**Hosts.** Between the hosts of one graph, and between flowgraphs, a receiver says in each life which run, node and port
it is, and dials again when a connection breaks; a sender waits for it as long as the host's patience, and sees the end
of the stream through. Each host's owner starts its own blocks again. A host that is started anew, as another run, is
refused, for it has lost what it had. Edges of other policies between hosts come back too, without what was under way.

**The owner.** With a state folder, snapshots and rings lie there, and the owner notes in a journal what it has counted
(records, nodes that have ended in order, live settings) before it acknowledges it. Whatever is acknowledged is thus
kept by something that outlives every process, so that a program that is started again with the folder takes the run up
as after a death of all its nodes at once: the same run to its neighbours on other hosts, sources going on from what all
sinks have, each record once. A stop (Ctrl-C, SIGTERM, `Run.stop`) is such a death too, though an orderly one: nothing
drains, since a stream that ends for one input of a join before the other would look like frames that never come. The
folder is one program's at a time, and waits until the processes of the last one are gone. A run that has ended in order
stays there, with its records, until `Run.discard_state`; the commands call it once results are written.

**Not covered.** Without a state folder, the owner itself: its records are in its memory, and with it the run, or its
host's part, ends; the other hosts then fail by name once their patience is over. A machine that loses power, for
nothing is flushed further than to the system. The counters of earlier programs. Sources and blocks under Ray.
Values of `Run.set`: what is worked on again meets the newest ones. State across several streams behind a join, whose
order depends on timing. Replicas behind a `dial` whose listener shares its frames among several flowgraphs. Edges of
other policies, which lose what was under way (probes). What a block does to the outside world otherwise than by frames,
records and files that its snapshot covers.

`ledger`   what a node owes: units of work and what is still outstanding of each
`store`    snapshots and rings, in files or in this process
`state`, `journal`, `account`   the state folder, what the owner notes in it, and what that comes to
`order`    joining and reordering that wait for what is sure to come
`resuming`, `sender`, `receiver`   the two ends of an edge: one whose receivers come back, one that keeps frames too
`pace`     the credit that the way to another host needs
"""
