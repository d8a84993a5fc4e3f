"""actor: objects served by name, and the handles that call them.

::

    ActorPool ─ PendingCall ─ balancer ─► session ═══► ActorServer ─ HostedActor ─ Group ─► method
        ▲
    Resolver (watched endpoints)
"""
