# One image for every process: web by default, see compose.yaml for the others.
FROM python:3.11-slim
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /srv/kabar

COPY requirements.txt .
RUN pip install --no-cache-dir --require-hashes -r requirements.txt

COPY . .
RUN useradd --system --home-dir /srv/kabar kabar \
    && SECRET_KEY=only-to-build python manage.py collectstatic --noinput -v0 \
    && chown -R kabar var
USER kabar

# Web, and the health probes of relay and workers, listen at the same port in every container.
ENV HOST=0.0.0.0 PORT=8000 HEALTH_HOST=0.0.0.0 HEALTH_PORT=8000
EXPOSE 8000
# Needs 127.0.0.1 in ALLOWED_HOSTS.
HEALTHCHECK --start-period=30s CMD ["python", "-c", \
    "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/health/live', timeout=5)"]
CMD ["gunicorn", "-c", "config/gunicorn.py", "config.wsgi"]
