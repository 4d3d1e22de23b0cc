"""A flowgraph as a service: started again when it fails, health and metrics over HTTP, logs for machines, systemd.

file ─ Supervisor ─ run, run again … ─ ServiceState ─ HttpServer: /healthz /readyz /metrics
            └─ SIGTERM ends, SIGHUP reloads; Notifier tells systemd
"""
