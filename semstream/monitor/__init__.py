"""Watching a run: a service beside it, clients, the terminal view, the live page, Prometheus.

    run ── MonitorService (ROUTER, answers "snapshot" with the newest state) ──┬── semstream top
                                                                               ├── semstream monitor (page)
                                                                               └── Prometheus

Viewers ask; nothing is queued for them. So a viewer that is slow, stuck or gone does not hold up the run.
"""
