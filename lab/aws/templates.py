"""Launch templates: a version builds on its source, every one is listed, tags are the current ones."""

from __future__ import annotations

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import InvalidLaunchTemplateVersionNotFound
from moto.ec2.models import EC2Backend
from moto.ec2.models.launch_templates import LaunchTemplate, LaunchTemplateVersion
from moto.ec2.responses.launch_templates import LaunchTemplates
from moto.ec2.utils import parse_user_data

from lab.aws.hooks import define, instead


@instead(EC2Backend, "create_launch_template")
def template_tags_stay_outside(
    original: Any, backend: EC2Backend, name: str, description: str, template_data: Any, tag_spec: Any
) -> Any:
    """A template's own tags aren't part of what it launches: moto mixes them into its data, AWS doesn't."""
    inner = [s for s in template_data.get("TagSpecifications", []) if s["ResourceType"] != "launch-template"]
    template_data = {k: v for k, v in template_data.items() if k != "TagSpecifications"}
    if inner:
        template_data["TagSpecifications"] = inner
    return original(backend, name, description, template_data, tag_spec)


@instead(LaunchTemplates, "create_launch_template_version")
def create_version(original: Any, response: LaunchTemplates) -> ActionResult:
    """CreateLaunchTemplateVersion: what isn't given comes from SourceVersion (moto: from nowhere).

    Source: API reference, CreateLaunchTemplateVersion, SourceVersion.
    """
    backend: EC2Backend = response.ec2_backend
    name, template_id = response._get_param("LaunchTemplateName"), response._get_param("LaunchTemplateId")
    template = backend.get_launch_template_by_name(name) if name else backend.get_launch_template(template_id)
    source = response._get_param("SourceVersion")
    answer: ActionResult = original(response)
    version = template.latest_version()
    if version.data.get("UserData") is not None:
        version.data["UserData"] = parse_user_data(str(version.data["UserData"]))
    if source:
        inherited = template.get_version(source).data
        # The dictionary moto has put into the answer too.
        version.data.update({k: v for k, v in inherited.items() if k not in version.data})
        for spec in version.data.get("TagSpecifications", []):
            if spec["ResourceType"] == "instance":
                version.instance_tags = {t["Key"]: t["Value"] for t in spec["Tags"]}
    return answer


@instead(LaunchTemplates, "describe_launch_templates")
def describe(_original: Any, response: LaunchTemplates) -> ActionResult:
    """DescribeLaunchTemplates, page by page: moto drops what doesn't fit the first 15."""
    response.error_on_dryrun()
    templates = response.ec2_backend.describe_launch_templates(
        template_names=response._get_param("LaunchTemplateNames", []),
        template_ids=response._get_param("LaunchTemplateIds", []),
        filters=response._filters_from_querystring(),
    )
    start = int(response._get_param("NextToken") or 0)
    end = start + int(response._get_int_param("MaxResults", 200) or 200)
    owner = f"arn:{response.partition}:iam::{response.current_account}:root"
    result: dict[str, Any] = {
        "LaunchTemplates": [
            {
                "CreateTime": template.create_time,
                "CreatedBy": owner,
                "DefaultVersionNumber": template.default_version_number,
                "LatestVersionNumber": template.latest_version_number,
                "LaunchTemplateId": template.id,
                "LaunchTemplateName": template.name,
                "Tags": template.tags,
            }
            for template in templates[start:end]
        ]
    }
    if end < len(templates):
        result["NextToken"] = str(end)
    return ActionResult(result)


@instead(EC2Backend, "describe_launch_template_versions")
def describe_versions(original: Any, backend: EC2Backend, **wanted: Any) -> Any:
    """DescribeLaunchTemplateVersions: all of them (moto: the first 15, without saying so)."""
    wanted["max_results"] = 10_000
    return original(backend, **wanted)


# moto keeps the tags of the day it was created.
define(LaunchTemplate, "tags", property(lambda self: self.get_tags(), lambda _self, _value: None))


@instead(LaunchTemplate, "create_version")
def numbered_once(_original: Any, template: LaunchTemplate, data: dict[str, Any], description: str) -> Any:
    """A version's number is never given again, also after the version was deleted (moto counts what is there).

    Source: API reference, DeleteLaunchTemplateVersions and CreateLaunchTemplateVersion.
    """
    here = [version.number for version in template.versions]
    number = max([int(getattr(template, "lab_last_version", 0)), *here]) + 1
    template.lab_last_version = number  # type: ignore[attr-defined]
    version = LaunchTemplateVersion(template, number, data, description)
    template.versions.append(version)
    return version


@instead(LaunchTemplate, "get_version")
def by_number(original: Any, template: LaunchTemplate, num: Any) -> Any:
    """A version by its number (moto: by its place among those that are there)."""
    wanted = str(num).lower()
    if wanted == "$latest":
        return original(template, num)
    number = template.default_version_number if wanted == "$default" else int(num)
    found = next((version for version in template.versions if version.number == number), None)
    if found is None:
        raise InvalidLaunchTemplateVersionNotFound(template_id=template.id, version=num)
    return found


@instead(LaunchTemplate, "default_version")
def default_by_number(_original: Any, template: LaunchTemplate) -> Any:
    """The default version, wherever it stands among those that are there."""
    return template.get_version("$Default")


def delete_versions(response: LaunchTemplates) -> ActionResult:
    """DeleteLaunchTemplateVersions, which moto doesn't know; the default version can't be deleted.

    Source: API reference, DeleteLaunchTemplateVersions.
    """
    response.error_on_dryrun()
    backend: EC2Backend = response.ec2_backend
    name, template_id = response._get_param("LaunchTemplateName"), response._get_param("LaunchTemplateId")
    template = backend.get_launch_template_by_name(name) if name else backend.get_launch_template(template_id)
    done: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for word in response._get_param("Versions", []):
        said = {"LaunchTemplateId": template.id, "LaunchTemplateName": template.name, "VersionNumber": int(word)}
        found = next((version for version in template.versions if version.number == int(word)), None)
        if found is None:
            code, why = "launchTemplateVersionDoesNotExist", f"version {word} doesn't exist"
        elif template.is_default(found):
            code, why = "unexpectedError", f"version {word} is the default version"
        else:
            template.versions.remove(found)
            done.append(said)
            continue
        failed.append({**said, "ResponseError": {"Code": code, "Message": why}})
    return ActionResult(
        {
            "SuccessfullyDeletedLaunchTemplateVersions": done,
            "UnsuccessfullyDeletedLaunchTemplateVersions": failed,
        }
    )


define(LaunchTemplates, "delete_launch_template_versions", delete_versions)
