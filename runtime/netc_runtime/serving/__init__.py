"""The server: what lies between a socket and a model.

A request comes in through `http` (deadlines, limits) and `app` (routes), whose codec is `netc_runtime.oip`; `images`
answers pictures, of which `form` reads several. `registry` knows the models: `repository` finds their files, `loading`
opens them, the first while the server starts, `served` is one that is open. Its `batcher` takes what `intake` made of a
request if `admission` lets it in, keeps it in `waiting`, and gives what runs together to `execution` in a `worker`'s
thread; `tally` counts, and `room` the bytes of bodies that are read. `threads` knows which threads still work,
`metrics` tells Prometheus, and `server` puts it all together.

`options` is the table of what a server can be told, `settings` reads it from flags, environment and file. `layers` puts
around the application what they ask for: `requests` (ids and the access log, which `logs` writes), `bearer` (the
token) and `tracing`; `tls` is beneath it.
"""
