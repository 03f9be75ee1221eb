"""What pyproject.toml cannot say: `configs/` is installed inside of the package, where `--config` finds it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["dis_lightning*"]), "dis_lightning.configs"],
    package_dir={"dis_lightning.configs": "configs"},
)
