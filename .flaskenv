# how `flask` finds and serves the application in development
FLASK_APP=wsgi
FLASK_DEBUG=1
FLASK_RUN_PORT=3001
