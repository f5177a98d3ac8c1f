# Snakemake runs this after it has made the conda environment, from the project's root: adds the package itself.
set -e
python -m pip install --no-deps .
