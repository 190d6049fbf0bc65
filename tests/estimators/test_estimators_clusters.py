"""Searches over the estimators on local clusters of Dask and of Ray: the scores of one process."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SEARCH = """
import json
import os
import joblib
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from chainrule import MLPClassifier

def searched():
    model = MLPClassifier((8,), max_iter=20, random_state=0)
    search = GridSearchCV(model, {"learning_rate_init": [1e-4, 0.03]}, cv=2)
    search.fit(*load_iris(return_X_y=True))
    return search.cv_results_["mean_test_score"].tolist(), search.best_params_

def main():
    alone = searched()
    with cluster():
        with joblib.parallel_config(BACKEND, n_jobs=2):
            found = searched()
            there = joblib.Parallel()(joblib.delayed(os.getpid)() for _ in range(4))
    print(json.dumps([alone, found, os.getpid() in there]))
"""

DASK = """
def cluster():
    from distributed import Client, LocalCluster
    return Client(LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None))

BACKEND = "dask"
if __name__ == "__main__":
    main()
"""

RAY = """
def cluster():
    import ray
    from ray.util.joblib import register_ray
    register_ray()
    return ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _temp_dir=FOLDER)

BACKEND = "ray"
if __name__ == "__main__":
    import tempfile
    with tempfile.TemporaryDirectory(dir="/tmp") as FOLDER:  # its sockets need a short path
        main()
"""


def compared(script: str, folder: Path) -> None:
    (folder / "search.py").write_text(SEARCH + script)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.run([sys.executable, "-W", "ignore", "search.py"], cwd=folder, env=environment,
                         capture_output=True, text=True, timeout=240)  # fmt: skip
    assert run.returncode == 0, run.stderr
    alone, found, here = json.loads(run.stdout.splitlines()[-1])
    assert found == alone
    assert not here, "others have done the work"
    assert len(set(alone[0])) > 1, "the search has something to choose"


@pytest.mark.soak
@pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None, reason="pip install 'chainrule[clusters]'"
)
def test_a_search_on_dask_has_the_scores_of_one_process(tmp_path: Path) -> None:
    compared(DASK, tmp_path)


@pytest.mark.soak
@pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="pip install 'chainrule[clusters]'"
)
def test_a_search_on_ray_has_the_scores_of_one_process(tmp_path: Path) -> None:
    compared(RAY, tmp_path)
