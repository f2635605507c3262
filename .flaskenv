# how `flask` finds and serves the application in development
FLASK_APP=wsgi
FLASK_DEBUG=1
# PORT as the environment has it; a PORT in .env needs a FLASK_RUN_PORT beside it
FLASK_RUN_PORT=${PORT:-3001}
