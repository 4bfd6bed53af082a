"""A W&B server without a network: what is sent to it is kept."""

import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
import wandb


class FakeServer:
    """In place of `wandb.Api`, through which everything here speaks to W&B.

    Attributes:
        views: that were saved, in order.
        entity: that the API key belongs to.
        projects: that exist.
        refusal: raised instead of an answer, if set.
    """

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.views: list[dict[str, Any]] = []
        self.entity: str | None = "me"
        self.projects = ["p"]
        self.refusal: Exception | None = None
        patch.setattr(wandb, "Api", self._api)
        patch.setattr(wandb, "login", lambda **_: True)

    def specs(self, kind: str) -> list[dict[str, Any]]:
        """What was saved as a kind of view: `runs` for reports, `project-view` for views of a workspace."""
        return [json.loads(view["spec"]) for view in self.views if view["type"] == kind]

    def _api(self) -> SimpleNamespace:
        if self.refusal:
            raise self.refusal
        service = SimpleNamespace(execute_graphql=self._execute, app_url="https://wandb.example")
        projects = [SimpleNamespace(name=name) for name in self.projects]
        return SimpleNamespace(_service_api=service, default_entity=self.entity, projects=lambda _: projects)

    def _execute(self, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        if "upsertView" not in query:
            return {"project": {"internalId": "1"} if variables["projectName"] in self.projects else None}
        self.views.append(dict(variables))
        view = {"id": f"id{len(self.views)}", "name": variables["name"], "spec": variables["spec"]}
        return {"upsertView": {"view": view}}
