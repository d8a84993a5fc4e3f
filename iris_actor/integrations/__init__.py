"""Integrations: what other libraries need in order to run their work on a `WorkerPool`.

Each module here is imported by whoever uses that library; `import iris_actor` loads none of them.
"""
