"The package's metadata is in settings.ini; this file only hands it to setuptools. pyproject.toml holds the tool tables."
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

HERE = Path(__file__).parent
config = ConfigParser(delimiters=["="], interpolation=None)
config.read(HERE/"settings.ini", encoding="utf8")
cfg = config["DEFAULT"]

LICENCES = {"apache2": "Apache-2.0"}
STATUSES = {"1": "1 - Planning", "2": "2 - Pre-Alpha", "3": "3 - Alpha", "4": "4 - Beta", "5": "5 - Production/Stable"}

setup(
    name=cfg["lib_name"], version=cfg["version"], description=cfg["description"], keywords=cfg["keywords"],
    author=cfg["author"], author_email=cfg["author_email"],
    license=LICENCES[cfg["license"]], license_files=["LICENSE", "NOTICE"],
    long_description=(HERE/"README.md").read_text("utf8"), long_description_content_type="text/markdown",
    classifiers=[
        f"Development Status :: {STATUSES[cfg['status']]}", "Framework :: Jupyter", "Intended Audience :: Education",
        "Intended Audience :: Science/Research", "Programming Language :: Python :: 3", f"Natural Language :: {cfg['language']}",
    ],
    python_requires=f">={cfg['min_python']}",
    install_requires=cfg["requirements"].split(),
    extras_require={name: cfg[f"{name}_requirements"].split() for name in ("paper", "dev")},
    packages=find_packages(include=[cfg["lib_path"], f"{cfg['lib_path']}.*"]),
    package_data={"anyms": ["static/*"], "anyms.stickers": ["data/*", "weights/**"], "anyms.paper": ["data/*"]},
    include_package_data=False, zip_safe=False,
    entry_points={"console_scripts": cfg["console_scripts"].split(), "nbdev": [f"{cfg['lib_path']}={cfg['lib_path']}._modidx:d"]},
)
