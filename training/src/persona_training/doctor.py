"""`casiopy doctor`: can this machine train, and what to do where it cannot."""

from __future__ import annotations

import importlib.metadata
import sys
from collections.abc import Iterator

import click

from persona_training.findings import Check, show
from persona_training.machine_checks import check_driver, check_folder, check_gpu, check_python, check_torch_build
from persona_training.pin_checks import check_packages, check_pins, check_unsloth
from persona_training.settings import Settings, project_root


def checks(settings: Settings) -> Iterator[Check]:
    """Every check in turn; none of them changes anything."""
    from persona_training.neighbour_checks import check_base, check_memory_service, check_ollama

    requirements = importlib.metadata.requires("casiopy-training") or []
    yield check_python(sys.version_info[:2])
    yield from check_packages(requirements)
    yield check_pins([text for text in requirements if "extra ==" not in text], project_root())
    yield check_unsloth(project_root())
    yield check_driver()
    import torch  # heavy, and absent where a check above has failed already

    yield check_torch_build(torch.version.cuda, torch.__version__, sys.platform)
    yield check_gpu()
    for name, folder in (("data folder", settings.data_dir), ("adapters folder", settings.adapters_dir)):
        yield check_folder(name, folder)
    yield check_base(settings, torch.cuda.is_available())
    yield check_memory_service(settings)
    yield check_ollama()


@click.command()
@click.option("--smoke", is_flag=True, help="Also train ten real steps with a small random model, and resume them.")
def doctor(smoke: bool) -> None:
    """Check Python, libraries, GPU, disk and neighbours; each failure has its remedy. Exit code 1 if something fails."""
    from persona_training.display import Display

    settings, display = Settings.from_env(), Display()
    found: list[Check] = []
    try:
        for check in checks(settings):
            found.append(check)
    except ModuleNotFoundError as error:
        found.append(Check(str(error.name), "fail", "missing", "pip install -c constraints.txt -e . -e training"))
    show(found, display.console)
    if smoke and not any(check.failed for check in found):
        from persona_training.smoke import check_smoke

        found.append(check_smoke(settings, display))
        show(found[-1:], display.console)
    failed = sum(check.failed for check in found)
    click.echo("Ready to train." if not failed else f"{failed} to fix before training.")
    if failed:
        raise click.exceptions.Exit(1)
