"""`python -m local_stack COMMAND`: the real stack on this machine."""

import argparse
import sys

from local_stack.environment import build_environment, build_environment_5
from local_stack.girder_site import ADMIN, sample_slide
from local_stack.plan import Plan, StackError, admin_password, default_plan
from local_stack.stack import bring_up, remove_data, services, take_down


def main() -> int:
    """Do what the command line says; 0 when it was done."""
    parser = argparse.ArgumentParser(prog="local_stack", description=__doc__)
    parser.add_argument("--port", type=int, default=8080, help="Girder's port (default 8080)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("environment", help="only build Girder's Python environment")
    commands.add_parser("environment5", help="only build the one with Girder 5, for tests")
    commands.add_parser("up", help="build what is missing, start everything, print the address")
    down = commands.add_parser("down", help="stop everything")
    down.add_argument("--delete-data", action="store_true", help="delete its slides and database")
    commands.add_parser("status", help="say what runs")
    commands.add_parser("slide", help="fetch the sample slide and print where it is")
    arguments = parser.parse_args()
    plan = default_plan(arguments.port)
    try:
        if arguments.command == "up":
            _up(plan)
        elif arguments.command == "environment":
            build_environment(plan, _say)
        elif arguments.command == "environment5":
            build_environment_5(plan, _say)
        elif arguments.command == "slide":
            _say(str(sample_slide(plan.home)))
        elif arguments.command == "down":
            take_down(plan)
            if arguments.delete_data:
                remove_data(plan)
        else:
            for service in services(plan):
                _say(f"{service.name}: {'runs' if service.pid() else 'does not run'}")
    except StackError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _up(plan: Plan) -> None:
    stack = bring_up(plan, _say)
    _say(
        "\nHistomicsUI is up:\n"
        f"  the slide   {plan.url}/histomics#?image={stack.slide_id}\n"
        f"  the server  {plan.url}\n"
        f"  login       {ADMIN}\n"
        f"  password    {admin_password(plan)}\n"
        f"  logs        {plan.data / 'logs'}\n"
        "Stop it with: make histomicsui-stop"
    )


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
