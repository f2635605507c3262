"""How gunicorn serves: the worker, its HTTP parser, and the number of workers."""
