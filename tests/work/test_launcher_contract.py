"""The launchers of the package pass the contract suite that users' launchers pass."""

from __future__ import annotations

from iris_actor import LocalLauncher
from iris_actor.testing import LauncherContract, PretendLauncher


class TestLocalLauncher(LauncherContract):
    def make_launcher(self) -> LocalLauncher:
        return LocalLauncher(sink=lambda _stream, _text: None)


class TestPretendLauncher(LauncherContract):
    def make_launcher(self) -> PretendLauncher:
        return PretendLauncher(sink=lambda _stream, _text: None)
