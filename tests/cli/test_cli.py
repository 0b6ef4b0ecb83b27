"""The frame of the command line: words in, one sentence and an exit code out; `doctor` on invented installations."""

from __future__ import annotations

import argparse
import errno
import json
import os
import resource
import subprocess
import sys
from types import SimpleNamespace

import pytest
from packaging.specifiers import SpecifierSet

from multimodal import __version__, cli
from multimodal.cli import doctor
from multimodal.cli.parser import Parser
from multimodal.errors import ArgumentError, DataError
from multimodal.media import MediaError


def call_fails_with(monkeypatch, error: BaseException | None, returns: int = 0) -> None:
    """Give the command one subcommand, `work`, that raises `error` or returns."""

    def run(arguments: argparse.Namespace) -> int:
        if error is not None:
            raise error
        return returns

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("folder")
        parser.add_argument("--size", type=int, default=8)
        parser.add_argument("--mode", choices=["crop", "pad", "squash"])

    work = SimpleNamespace(HELP="works", add_arguments=add_arguments, run=run)
    monkeypatch.setattr(cli, "_commands", lambda: {"work": work})


def test_no_subcommand_shows_the_overview_and_fails(capsys):
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert "doctor" in err and "finetune" in err


def test_help_and_version_go_to_stdout(capsys):
    assert cli.main(["--help"]) == 0
    overview = capsys.readouterr().out
    for name, command in cli._commands().items():
        assert f"  {name} " in overview and command.HELP in overview
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"multimodal {__version__}\n"


@pytest.mark.parametrize("name", cli._commands())
def test_every_subcommand_says_what_it_does(name, capsys):
    command = cli._commands()[name]
    assert 0 < len(command.HELP) <= 100 and "\n" not in command.HELP, "one line, as the overview prints it"
    assert cli.main([name, "--help"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"usage: multimodal {name}")
    assert "--debug" in out


@pytest.mark.parametrize("words", [[], *([name] for name in cli._commands())], ids=str)
def test_help_takes_less_than_half_a_second(words):
    seconds = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "multimodal", *words, "--help"], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Time of the processor, so that a busy machine does not count.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["wrok"], "multimodal: 'wrok' is not a subcommand. Did you mean 'work'?"),
        (["xyzzy"], "multimodal: 'xyzzy' is not a subcommand. See 'multimodal --help'."),
        (["--debgu", "work"], "multimodal work: --debgu is not an option. Did you mean '--debug'?"),
        (["work", "x", "--sise", "9"], "multimodal work: --sise is not an option. Did you mean '--size'?"),
        (["work", "--sise=9"], "multimodal work: --sise is not an option. Did you mean '--size'?"),
        (["work", "x", "--siz", "9"], "multimodal work: --siz is not an option. Did you mean '--size'?"),
        (["work", "x", "-q"], "multimodal work: -q is not an option. See 'multimodal work --help'."),
        (["work", "x", "y"], "multimodal work: y is one argument too many. See 'multimodal work --help'."),
        (["work"], "multimodal work: folder must be given."),
        (["work", "x", "--size"], "multimodal work: --size needs a value."),
        (["work", "x", "--size", "big"], "multimodal work: --size is 'big'; it must be a whole number."),
        (
            ["work", "x", "--mode", "crp"],
            "multimodal work: --mode is 'crp'; it must be one of crop, pad, squash. Did you mean 'crop'?",
        ),
    ],
)
def test_wrong_words_end_in_one_sentence_and_2(monkeypatch, capsys, words, sentence):
    call_fails_with(monkeypatch, None)
    assert cli.main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", sentence + "\n")


def test_options_after_two_dashes_are_words():
    parser = Parser(prog="x")
    parser.add_argument("names", nargs="*")
    assert parser.read(["--", "--odd-name.jpg"]).names == ["--odd-name.jpg"]


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (None, 0, ""),
        (ArgumentError("epochs is 0; it must be at least 1."), 2, "epochs is 0; it must be at least 1."),
        (DataError("photos is empty."), 1, "photos is empty."),
        (MediaError("a.jpg is cut short."), 1, "a.jpg is cut short."),
        (FileNotFoundError(errno.ENOENT, "", "photos"), 1, "photos does not exist."),
        (PermissionError(errno.EACCES, "", "out"), 1, "out may not be read or written with your permissions."),
        (FileNotFoundError("The hub does not have it."), 1, "The hub does not have it."),
        (
            OSError(errno.ENOSPC, "", "run/model"),
            1,
            "run/model cannot be written: the disk is full. Free some space or choose another folder.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "A file cannot be written: the disk is full. Free some space or choose another folder.",
        ),
        (KeyboardInterrupt(), 130, "Stopped."),
    ],
)
def test_errors_end_in_one_sentence_and_their_code(monkeypatch, capsys, error, status, sentence):
    call_fails_with(monkeypatch, error)
    assert cli.main(["work", "x"]) == status
    assert capsys.readouterr().err == (f"multimodal work: {sentence}\n" if sentence else "")


def test_a_trainer_that_turns_signals_into_exits_has_not_succeeded(monkeypatch, capsys):
    after_ctrl_c = SystemExit(1)
    after_ctrl_c.__context__ = KeyboardInterrupt()
    for stop, status in [(after_ctrl_c, 130), (SystemExit(), 143), (SystemExit(0), 143), (SystemExit(3), 3)]:
        call_fails_with(monkeypatch, stop)
        assert cli.main(["work", "x"]) == status
        assert capsys.readouterr().err == "multimodal work: Stopped.\n"


def test_the_status_of_a_subcommand_is_the_exit_code(monkeypatch):
    call_fails_with(monkeypatch, None, returns=1)
    assert cli.main(["work", "x"]) == 1


@pytest.mark.parametrize("error", [RuntimeError("a fault"), ValueError("a fault"), OSError(errno.EIO, "a fault")])
def test_a_fault_of_ours_keeps_its_traceback(monkeypatch, error):
    call_fails_with(monkeypatch, error)
    with pytest.raises(type(error), match="a fault"):
        cli.main(["work", "x"])


@pytest.mark.parametrize("way", ["option before", "option after", "environment"])
def test_debug_shows_the_traceback_and_keeps_the_code(monkeypatch, capsys, way):
    call_fails_with(monkeypatch, DataError("photos is empty."))
    if way == "environment":
        monkeypatch.setenv("MULTIMODAL_DEBUG", "1")
    words = {"option before": ["--debug", "work", "x"], "option after": ["work", "x", "--debug"]}
    assert cli.main(words.get(way, ["work", "x"])) == 1
    err = capsys.readouterr().err
    assert err.startswith("Traceback (most recent call last)")
    assert err.endswith("multimodal work: photos is empty.\n")


def test_a_reader_that_goes_away_is_no_error():
    code = """
import sys
from types import SimpleNamespace
from multimodal import cli
def run(arguments):
    for i in range(200_000):
        print(i)
    return 0
cli._commands = lambda: {"work": SimpleNamespace(HELP="", add_arguments=lambda parser: None, run=run)}
sys.exit(cli.main(["work"]))
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"0\n"
    process.stdout.close()
    err = process.stderr.read()
    assert (process.wait(timeout=30), err) == (141, b"")


def test_a_broken_pipe_of_our_own_is_not_hidden(monkeypatch):
    call_fails_with(monkeypatch, BrokenPipeError(errno.EPIPE, "a worker died"))
    with pytest.raises(BrokenPipeError, match="a worker died"):
        cli.main(["work", "x"])


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_a_name_that_is_not_text_can_be_printed():
    code = "import multimodal.cli as c; c._run = lambda words: print(words[0]) or 0; c.main()"
    done = subprocess.run([sys.executable, "-c", code, b"caf\xe9.jpg"], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, b"caf\\udce9.jpg\n"), done.stderr


def test_doctor_finds_this_installation_sound(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert {"multimodal", "torch", "timm"} <= set(report["versions"])
    states = {row["subject"]: row["state"] for row in report["findings"]}
    assert states["requirements"] == states["import torchvision"] == states["builds"] == "ok"
    assert states["import soundfile"] == "ok"
    assert "model hub" not in states, "no network unless asked"


def test_doctor_prints_cures_and_fails(monkeypatch, capsys):
    broken = doctor.Finding(subject="builds", state="broken", detail="torch cpu, torchvision cu130", cure="reinstall")
    monkeypatch.setattr(doctor, "examine", lambda hub: [broken])
    assert cli.main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "broken  builds: torch cpu, torchvision cu130\n        cure: reinstall" in out


@pytest.mark.parametrize(
    ("torch", "vision", "state"),
    [
        ("cpu", "cu130", "broken"),
        ("cu130", "cpu", "broken"),
        ("cu126", "cu130", "broken"),
        ("cu130", "cu132", "ok"),
        ("cpu", "cpu", "ok"),
        ("", "", "ok"),
    ],
)
def test_builds_that_do_not_belong_together_are_found(torch, vision, state):
    finding = doctor.check_builds({"torch": torch, "torchvision": vision, "torchaudio": ""})
    assert finding.state == state
    assert ("torch>=2.11,<2.15" in finding.cure) == (state == "broken")


def test_missing_and_outdated_requirements_are_found():
    required = {"torch": SpecifierSet(">=2.11,<2.15"), "rich": SpecifierSet(">=13"), "numpy": SpecifierSet()}
    installed = {"multimodal": "0.1", "torch": "2.14.1", "rich": "15.0", "numpy": "2.4"}
    assert doctor.check_requirements(installed, required).state == "ok"
    finding = doctor.check_requirements({**installed, "torch": "2.15.0+cpu", "rich": None}, required)
    assert finding.state == "broken"
    assert "torch is 2.15.0+cpu; it must be <2.15,>=2.11" in finding.detail
    assert "rich is not installed" in finding.detail


def test_a_library_that_fails_on_import_is_found(monkeypatch, tmp_path):
    (tmp_path / "broken_vision.py").write_text("raise RuntimeError('operator torchvision::nms does not exist')")
    monkeypatch.syspath_prepend(str(tmp_path))
    finding = doctor.check_import("broken_vision")
    assert finding.state == "broken"
    assert finding.detail == "RuntimeError: operator torchvision::nms does not exist"
    assert finding.cure == "pip install --force-reinstall broken_vision"


def test_a_missing_decoder_of_containers_is_a_note(monkeypatch):
    assert doctor.check_containers().state == "ok"
    monkeypatch.setattr(doctor, "_version", lambda name: None)
    finding = doctor.check_containers()
    assert (finding.state, finding.cure) == ("note", "pip install 'multimodal[containers]'")


def test_disk_space_is_judged(monkeypatch, tmp_path):
    for free, state in [(10**8, "broken"), (10**9, "note"), (10**11, "ok")]:
        monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path, free=free: SimpleNamespace(free=free))
        assert doctor.check_disk("disk", tmp_path / "not" / "yet").state == state


def test_an_unreachable_hub_is_found():
    finding = doctor.check_address("model hub", "https://example.invalid")
    assert finding.state == "broken" and "no network" in finding.detail
    assert doctor.check_address("model hub", os.devnull).state == "broken"
