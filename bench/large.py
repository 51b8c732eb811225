"""Real sizes: ResNet-50 and ViT-B/16 (3,840 and 36,864 units) with random weights, mined on 32 images.

In a process of its own, so that its peak of resident memory is the job's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

IMAGES, BUDGET = 32, 5 * 2**30
SOURCES = {"resnet50": "timm:resnet50", "vit-b16": "timm:vit_base_patch16_224"}


def mine() -> dict[str, Any]:
    """Register both models and mine them here; figures of the job."""
    import resource

    import timm
    import torch
    from safetensors.torch import save_file

    from bench.stack import add_probe, deaf, run_job, store
    from service.submit import submit_mine
    from service.submit_register import submit_register
    from workers.allocator import keep_freed_memory

    keep_freed_memory()
    with tempfile.TemporaryDirectory(prefix="rosetta-bench-") as folder, store(Path(folder)) as (engine, settings):
        run_job(engine, submit_register(engine, deaf(), settings, name="dcgan-faces", source="demo:dcgan-faces").id)
        add_probe(engine, "faces", IMAGES)
        for name, source in SOURCES.items():
            torch.manual_seed(0)
            file = Path(folder) / f"{name}.safetensors"
            save_file(timm.create_model(source.removeprefix("timm:")).state_dict(), file)
            job = submit_register(engine, deaf(), settings, name=name, source=source, weights=str(file))
            run_job(engine, job.id)
        job = run_job(engine, submit_mine(engine, deaf(), settings, probe="faces", models=list(SOURCES)).id)
        with engine.connect() as connection:
            counted = "SELECT (SELECT sum(units) FROM models WHERE NOT is_generator), (SELECT count(*) FROM matches)"
            units, matches = connection.exec_driver_sql(counted).one()
    return {
        "images": IMAGES,
        "units": int(units),
        "matches": int(matches),
        "job_s": (job.finished_at - job.created_at).total_seconds(),
        "budget_gb": BUDGET / 2**30,
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def run() -> dict[str, Any]:
    """The figures, from a fresh process."""
    command = [sys.executable, "-c", "import json; from bench.large import mine; print(json.dumps(mine()))"]
    environment = {**os.environ, "ROSETTA_MEMORY_BUDGET": str(BUDGET)}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures
