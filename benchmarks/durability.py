"""Does a run lose, double or forget anything? `kill -9` at random moments, and servers that misbehave.

A real `cgd run --until refinement`, in a process of its own, asks a server whose text is a function of the request.
It is killed at random moments and begun again until it is done, run after run; an unbroken run says what must be there.
Then it meets servers that misbehave, each in one way, and afterwards the same server mended.

kills            SIGKILLs while a stage was generating; kills_by_stage says where, kills_at_start came before
lost             committed rows that vanished or changed, and differences to the unbroken run
doubled          requests for rows that had been committed before a kill
unfinished       requests in flight at a kill, asked again: the price of a kill
faults           ways in which a server misbehaved
unaccounted      requests that ended as no row, be it done, truncated or failed
left_after_mend  failed rows that the same command does not make good once the server is mended
"""

from __future__ import annotations

import random
import secrets
import tempfile
from pathlib import Path

from benchmarks.faults import inject_and_count
from benchmarks.faulty_server import FAULTS
from benchmarks.kills import kill_and_count
from benchmarks.output import parser, scratch_folder, show


def main() -> None:
    """Kill first, then spoil."""
    options = parser(__doc__)
    options.add_argument("--kills", type=int, default=50)
    options.add_argument("--prompts", type=int, default=600, help="of each run that is killed; three rows a prompt")
    options.add_argument("--faults", nargs="*", default=list(FAULTS), choices=list(FAULTS), metavar="FAULT")
    options.add_argument("--faulty-prompts", type=int, default=12, help="of each run against a faulty server")
    options.add_argument("--seed", type=int, default=None, help="of the random moments; drawn where absent")
    arguments = options.parse_args()
    seed = secrets.randbelow(2**31) if arguments.seed is None else arguments.seed
    print(f"seed of the random moments: {seed}")
    with tempfile.TemporaryDirectory(dir=scratch_folder()) as folder:
        killed = kill_and_count(arguments.kills, arguments.prompts, random.Random(seed), Path(folder))
        spoiled = {fault: inject_and_count(fault, arguments.faulty_prompts, Path(folder)) for fault in arguments.faults}
    classes = [fault for fault, account in spoiled.items() if account.injected]
    figures = {
        "seed": seed,
        "kills": sum(killed.kills_by_stage.values()),
        **killed._asdict(),
        "faults": len(classes),
        "fault_classes": classes,
        "unaccounted": sum(account.unaccounted for account in spoiled.values()),
        "left_after_mend": sum(account.left for account in spoiled.values()),
    }
    show(figures, as_json=arguments.json)


if __name__ == "__main__":
    main()
