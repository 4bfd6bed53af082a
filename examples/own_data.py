"""Tune a model on a CSV file of your own, and let it answer.

    python examples/own_data.py

It takes half a minute on two CPU cores. The script makes a CSV file with messages to a shop and their topics. Use your
own file in its place. It may have any columns; `task.text` and `task.label` name the two that are used. The labels are
read from the file, and some rows are set aside for validation and test. Arguments of the script are overrides of the
run:

    python examples/own_data.py method=lora trainer.max_steps=200
"""

import argparse
import csv
import random
from itertools import product
from pathlib import Path

import lnbench

THINGS = ["lamp", "chair", "kettle", "jacket", "phone case", "rug", "mug", "tent"]
OPENINGS = ["Hello,", "Hi there,", "Good morning,", "Dear team,", ""]
ENDINGS = ["Please help.", "Thanks!", "Can you look into this?", "I am waiting for an answer.", ""]
TOPICS = {
    "delivery": ["my {} has not arrived yet.", "where is the {} I ordered?", "the {} came to the wrong address."],
    "payment": ["I was charged twice for the {}.", "the refund for my {} is missing.", "my card failed for the {}."],
    "praise": ["I love the new {}.", "the {} is even better than I hoped.", "what a beautiful {} you made."],
}
ROWS_OF_A_TOPIC = 200
QUESTIONS = [
    "The parcel with my umbrella is three days late.",
    "You took the money from my account two times!",
    "Best teapot I have ever had, thank you.",
]


def write_messages(path: Path) -> None:
    """Writes a CSV file with the columns `message` and `topic`."""
    chance = random.Random(0)
    rows = [
        (" ".join(filter(None, [opening, sentence.format(thing), ending])), topic)
        for topic, sentences in TOPICS.items()
        for opening, sentence, thing, ending in chance.sample(
            list(product(OPENINGS, sentences, THINGS, ENDINGS)), ROWS_OF_A_TOPIC
        )
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("message", "topic"), *rows])


def main() -> None:
    """Makes the file, tunes a model on it, and asks the model."""
    parser = argparse.ArgumentParser(description="Tunes a model on a CSV file and lets it answer.")
    parser.add_argument("--folder", type=Path, default=Path("runs/own_data"), help="for the file and the run")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="settings of the run")
    options = parser.parse_args()
    file = options.folder / "messages.csv"
    write_messages(file)

    record = lnbench.run(
        "method=ln",
        "task=csv",
        f"task.path={file}",
        "task.text=message",
        "task.label=topic",
        "trainer=mini",
        f"runs_dir={options.folder}",
        *options.overrides,
    )
    print(f"\nAccuracy on messages that were kept for the test: {record.metrics['test']['accuracy']:.3f}")

    tuned = lnbench.load(record.folder)
    for answer in tuned.predict(QUESTIONS):
        label = answer["label"]
        print(f"{answer['probabilities'][label]:4.0%} {label:<9} {answer['input']['message']}")


if __name__ == "__main__":
    main()
