"""The page *LIM builds* on the web server of a Dask scheduler: builds of everybody, with a form to start one."""
