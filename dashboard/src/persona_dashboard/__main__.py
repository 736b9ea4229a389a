"""`python -m persona_dashboard` is `casiopy dashboard`."""

from persona_dashboard.cli import dashboard

if __name__ == "__main__":
    dashboard()
