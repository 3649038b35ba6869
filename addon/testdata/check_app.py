"""Holds the app's package to what Home Assistant's Supervisor and its Store demand.

    check_app.py ROOT    prints what is wrong, one line each, and exits with 1

The rules are those of the Supervisor's schema (supervisor/apps/validate.py), its rating
(apps/utils.py), its Store (store/data.py) and of frenck/action-addon-linter, as of
August 2026.
"""

import os
import re
import struct
import sys

import yaml

problems = []


def wrong(text):
    problems.append(text)


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8") as f:
        return f.read()


# What each key may be, and its default, which the linter does not want to see written.
NONE = object()
KEYS = {
    "name": (str, NONE), "version": (str, NONE), "slug": (str, NONE), "description": (str, NONE), "arch": (list, NONE),
    "url": (str, None), "startup": (str, "application"), "boot": (str, "auto"), "init": (bool, True), "stage": (str, "stable"),
    "ports": (dict, None), "ports_description": (dict, None), "ingress": (bool, False), "ingress_port": (int, 8099),
    "ingress_entry": (str, None), "ingress_stream": (bool, False), "panel_icon": (str, "mdi:puzzle"), "panel_title": (str, None),
    "panel_admin": (bool, True), "homeassistant": (str, None), "host_network": (bool, False), "host_pid": (bool, False),
    "host_ipc": (bool, False), "host_uts": (bool, False), "host_dbus": (bool, False), "tmpfs": (bool, False), "map": (list, None),
    "environment": (dict, None), "privileged": (list, None), "apparmor": (bool, True), "full_access": (bool, False),
    "docker_api": (bool, False), "legacy": (bool, False), "stdin": (bool, False), "hassio_api": (bool, False),
    "hassio_role": (str, "default"), "homeassistant_api": (bool, False), "auth_api": (bool, False), "services": (list, None),
    "discovery": (list, None), "backup": (str, "hot"), "backup_pre": (str, None), "backup_post": (str, None),
    "backup_exclude": (list, None), "options": (dict, None), "schema": (dict, None), "image": (str, None), "ulimits": (dict, None),
    "timeout": (int, 10), "journald": (bool, False), "breaking_versions": (list, None), "kernel_modules": (bool, False),
}
REQUIRED = ["name", "version", "slug", "description", "arch"]
CHOICES = {
    "startup": ["initialize", "system", "services", "application", "once"], "boot": ["auto", "manual", "manual_only"],
    "stage": ["stable", "experimental", "deprecated"], "backup": ["hot", "cold"],
    "hassio_role": ["default", "homeassistant", "backup", "manager", "admin"],
}
# What both this year's Supervisors and the linter know.
MAPS = ["data", "ssl", "share", "media", "backup", "homeassistant_config"]
ELEMENT = re.compile(
    r"^(?:str(?:\(\d*,\d*\))?|password(?:\(\d*,\d*\))?|bool|email|url|port|device(?:\(.*\))?|match\(.*\)|list\(.+\)"
    r"|int(?:\(\d*,\d*\))?|float(?:\(.*\))?)\??$"
)


def check_config(c):
    for key in REQUIRED:
        if key not in c:
            wrong(f"config.yaml: {key} is missing")
    for key, value in c.items():
        if key == "watchdog":
            wrong("config.yaml: watchdog is obsolete, the image has a HEALTHCHECK")
        elif key not in KEYS:
            wrong(f"config.yaml: {key} is not known")
        else:
            kind, default = KEYS[key]
            if not isinstance(value, kind) or kind is int and isinstance(value, bool):
                wrong(f"config.yaml: {key} must be {kind.__name__}")
            elif value == default:
                wrong(f"config.yaml: {key} says its default")
            if key in CHOICES and value not in CHOICES[key]:
                wrong(f"config.yaml: {key} can't be {value}")
    if not re.match(r"^\d+\.\d+\.\d+$", str(c.get("version"))):
        wrong("config.yaml: version must be a text such as 1.2.3")
    if not re.match(r"^[-_.A-Za-z0-9]+$", str(c.get("slug"))):
        wrong("config.yaml: slug has characters that it can't have")
    for arch in c.get("arch", []):
        if arch not in ("aarch64", "amd64"):
            wrong(f"config.yaml: arch {arch} is not supported any more")
    if not 10 <= c.get("timeout", 10) <= 300:
        wrong("config.yaml: timeout must be 10 to 300")
    if c.get("ingress_port") == 0 and not c.get("host_network"):
        wrong("config.yaml: ingress_port 0 needs host_network")
    if str(c.get("ingress_entry", "")).startswith("/"):
        wrong("config.yaml: ingress_entry can't start with a slash")
    if c.get("ingress") and "webui" in c:
        wrong("config.yaml: webui and ingress exclude each other")
    image = c.get("image")
    if image is not None and (image != image.lower() or ":" in image.split("/")[-1]):
        wrong("config.yaml: image must be lower case and without a tag")
    if c.get("backup") == "cold" and ("backup_pre" in c or "backup_post" in c):
        wrong("config.yaml: backup_pre and backup_post never run for a cold backup")
    check_ports(c)
    check_lists(c)


def check_ports(c):
    for port, host in c.get("ports", {}).items():
        if not re.match(r"^\d+(?:/tcp|/udp)?$", str(port)) or host is not None and not 1 <= host <= 65535:
            wrong(f"config.yaml: port {port}: {host}")
        if port not in c.get("ports_description", {}):
            wrong(f"config.yaml: port {port} has no description")
    for port in c.get("ports_description", {}):
        if port not in c.get("ports", {}):
            wrong(f"config.yaml: the description of {port} describes no port")


def check_lists(c):
    for service in c.get("services", []):
        if not re.match(r"^(mqtt|mysql):(provide|want|need)$", service):
            wrong(f"config.yaml: service {service}")
    for entry in c.get("map", []):
        kind = entry.get("type") if isinstance(entry, dict) else str(entry).split(":")[0]
        if kind not in MAPS:
            wrong(f"config.yaml: map {kind} is not known to every Supervisor and to the linter")
        if isinstance(entry, dict) and (set(entry) - {"type", "read_only", "path"} or entry.get("read_only") is True):
            wrong(f"config.yaml: map {kind} says its default or something unknown")
    for name, limit in c.get("ulimits", {}).items():
        if not isinstance(limit, (int, dict)):
            wrong(f"config.yaml: ulimit {name}")


def check_schema(c):
    options, schema = c.get("options", {}), c.get("schema", {})
    for key, element in schema.items():
        check_element(key, element, 0)
        one = element[0] if isinstance(element, list) and element else element  # of a list it is what its elements say
        optional = isinstance(one, str) and one.endswith("?")
        if key not in options and not optional:
            wrong(f"config.yaml: option {key} is neither optional nor has a default")
        if key in options and optional:
            wrong(f"config.yaml: option {key} is optional and has a default")
    for key, value in options.items():
        if key not in schema:
            wrong(f"config.yaml: option {key} is not in the schema")
        elif not fits(value, schema[key]):
            wrong(f"config.yaml: the default of {key} is not what its schema demands")


def check_element(key, element, depth):
    if depth > 2:
        wrong(f"config.yaml: option {key} is nested too deeply")
    elif isinstance(element, list):
        if len(element) != 1 or isinstance(element[0], list):
            wrong(f"config.yaml: option {key} must be a list of one kind")
        else:
            check_element(key, element[0], depth + 1)
    elif isinstance(element, dict):
        for name, inner in element.items():
            check_element(f"{key}.{name}", inner, depth + 1)
    elif not isinstance(element, str) or not ELEMENT.match(element):
        wrong(f"config.yaml: option {key} has no kind that the Supervisor knows: {element}")


def fits(value, element):
    if isinstance(element, list):
        return isinstance(value, list) and all(fits(v, element[0]) for v in value)
    if isinstance(element, dict):
        return isinstance(value, dict) and all(k in element and fits(v, element[k]) for k, v in value.items())
    kind = element.rstrip("?").split("(")[0]
    if kind == "list":
        return value in element.rstrip("?")[5:-1].split("|")
    if kind == "bool":
        return isinstance(value, bool)
    if kind in ("int", "port"):
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "float":
        return isinstance(value, (int, float))
    return isinstance(value, str)


def rating(c, own_profile):
    score = 5
    if c.get("apparmor", True) is False:
        score -= 1
    elif own_profile:
        score += 1
    if c.get("ingress"):
        score += 2
    elif c.get("auth_api"):
        score += 1
    if c.get("privileged") or c.get("kernel_modules"):
        score -= 1
    score -= {"manager": 1, "admin": 2}.get(c.get("hassio_role", "default"), 0)
    if c.get("host_network"):
        score -= 1
    if c.get("host_pid"):
        score -= 2
    if c.get("docker_api") or c.get("full_access"):
        score = 1
    return max(1, min(8, score))


def check_translations(root, c):
    folder = os.path.join(root, "translations")
    present = sorted(os.listdir(folder))
    for language in ("en", "de", "fr", "es", "nl"):
        if f"{language}.yaml" not in present:
            wrong(f"translations/{language}.yaml is missing")
    for name in present:
        t = yaml.safe_load(read(root, f"translations/{name}"))
        if set(t) != {"configuration", "network"}:
            wrong(f"translations/{name}: must have configuration and network, nothing else")
            continue
        compare(f"translations/{name}", set(c["schema"]), set(t["configuration"]))
        for key, entry in t["configuration"].items():
            texts(f"translations/{name}: {key}", entry)
            element = c["schema"].get(key)
            if isinstance(element, list) and isinstance(element[0], dict):
                compare(f"translations/{name}: {key}", set(element[0]), set(entry.get("fields", {})))
                for field, inner in entry.get("fields", {}).items():
                    texts(f"translations/{name}: {key}.{field}", inner)
            elif "fields" in entry:
                wrong(f"translations/{name}: {key} has no fields")
        compare(f"translations/{name}: network", set(c["ports"]), set(t["network"]))


def compare(where, want, got):
    for key in sorted(want - got):
        wrong(f"{where}: {key} is missing")
    for key in sorted(got - want):
        wrong(f"{where}: {key} stands for nothing")


def texts(where, entry):
    for part in ("name", "description"):
        if not str(entry.get(part, "")).strip():
            wrong(f"{where} has no {part}")
    if set(entry) - {"name", "description", "fields"}:
        wrong(f"{where} has something unknown")


def check_profile(text):
    found = re.findall(r"(?m)^profile (\S+) ", text)
    if len(found) != 1:
        wrong(f"apparmor.txt: one profile must start at the first column, not {len(found)}")


def check_picture(root, name, width, height):
    with open(os.path.join(root, name), "rb") as f:
        head = f.read(24)
    if head[:8] != b"\x89PNG\r\n\x1a\n" or struct.unpack(">II", head[16:24]) != (width, height):
        wrong(f"{name} must be a PNG of {width} by {height}")


def check_rest(root, c):
    repository = yaml.safe_load(read(root, "repository.yaml"))
    if not repository.get("name") or set(repository) - {"name", "url", "maintainer"}:
        wrong("repository.yaml needs a name, and knows url and maintainer beside it")
    build = yaml.safe_load(read(root, "build.yaml"))
    if set(build) - {"build_from", "args", "labels", "squash", "codenotary"} or set(build.get("build_from", {})) != set(c["arch"]):
        wrong("build.yaml: build_from must name an image for each arch, and nothing unknown may stand there")
    for name in ("README.md", "DOCS.md", "CHANGELOG.md"):
        if not read(root, name).strip():
            wrong(f"{name} is empty")
    docker = read(root, "Dockerfile")
    for need in ("ARG BUILD_FROM=", "FROM ${BUILD_FROM}", "HEALTHCHECK", 'io.hass.type="app"', "io.hass.version=", "io.hass.arch="):
        if need not in docker:
            wrong(f"Dockerfile: {need} is missing")


def main(root):
    c = yaml.safe_load(read(root, "config.yaml"))
    check_config(c)
    check_schema(c)
    check_translations(root, c)
    profile = os.path.exists(os.path.join(root, "apparmor.txt"))
    if profile:
        check_profile(read(root, "apparmor.txt"))
    if rating(c, profile) != 8:
        wrong(f"the security rating is {rating(c, profile)}, not 8")
    check_picture(root, "icon.png", 128, 128)
    check_picture(root, "logo.png", 250, 100)
    check_rest(root, c)
    for text in problems:
        print(text)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
