"""The recipes for clusters, as the page has them: the bits of one call."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "guides" / "many_machines.md"
MODEL = ROOT / "examples" / "forecast" / "forecast.keras"
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(not PAGE.is_file(), reason="docs/ is in a checkout alone"),
]

# What the page says, and what it leaves to whoever runs it: here a machine that has two cores and
# talks to itself alone.
BEFORE = {
    "Ray Data": "import ray\nray.init(num_cpus=4, include_dashboard=False)\n",
    "Spark": "",
    "Dask": "",
}
SPARK = """
spark.master local[2]
spark.ui.enabled false
spark.driver.bindAddress 127.0.0.1
spark.driver.host 127.0.0.1
"""
AFTER = """
one = fd.load("forecast.keras").mc_predict(x, 200, rng=0)
low_of_one, high_of_one = one.quantile([0.05, 0.95])
if "frame" in globals():
    assert frame["row"].tolist() == list(range(len(x)))
    mean, low, high = (frame[name].to_numpy() for name in ("mean", "low", "high"))
assert np.array_equal(mean, one.mean[:, 0])
assert np.array_equal(low, low_of_one[:, 0])
assert np.array_equal(high, high_of_one[:, 0])
print(len(mean), "rows are the same")
"""


def code(heading: str) -> str:
    """Return the code below a heading, up to the next one."""
    _, text = re.split(rf"^##+ {re.escape(heading)}$", PAGE.read_text("utf-8"), flags=re.MULTILINE)
    own = re.split(r"^##", text, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```python\n(.*?)^```$", own, re.MULTILINE | re.DOTALL)
    assert blocks
    return "\n".join(blocks)


def run(tmp_path: Path, heading: str, *parts: str) -> None:
    shutil.copy(MODEL, tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "spark-defaults.conf").write_text(SPARK)
    script = tmp_path / "script.py"
    script.write_text("\n".join([BEFORE[heading], *parts, code(heading), AFTER]))
    made = {
        "HOME": str(tmp_path),  # what Ray leaves there is this test's own
        "RAY_USAGE_STATS_ENABLED": "0",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_CONF_DIR": str(tmp_path / "conf"),
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        cwd=tmp_path,
        env=os.environ | made,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert "400 rows are the same" in done.stdout


def test_dask(tmp_path: Path) -> None:
    pytest.importorskip("dask.array", reason="dask is not installed: the extra `dask`")
    run(tmp_path, "Dask")


@pytest.mark.parametrize(("heading", "library"), [("Ray Data", "ray"), ("Spark", "pyspark")])
def test_rows_that_carry_their_numbers(tmp_path: Path, heading: str, library: str) -> None:
    for name in (library, "pyarrow", "pandas"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed")
    if library == "pyspark" and shutil.which("java") is None:
        pytest.skip("Java is not installed, which Spark needs")
    run(tmp_path, heading, code("Rows that carry their numbers"))


def test_rows_in_any_order(tmp_path: Path) -> None:
    """What both recipes call gives rows their own bits, however they come."""
    pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    script = tmp_path / "script.py"
    shutil.copy(MODEL, tmp_path)
    after = """
model = fd.load("forecast.keras")
x = x[:60]
one = predict(model, np.arange(60), x)
order = np.r_[40:60, 3, 2, 0:2, 4:40]
assert np.array_equal(predict(model, order, x[order]), one[order])
"""
    script.write_text(code("Rows that carry their numbers") + after)
    subprocess.run([sys.executable, str(script)], cwd=tmp_path, check=True, timeout=300)
