"""What ``python3.11 ptalker`` does. Standard library only: it runs before anything is installed."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".ptalker"  # the environments; may be deleted at any time


class LauncherError(Exception):
    """One sentence for the person who called, and exit code 1."""
