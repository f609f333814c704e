"""A worker that loads a net once, takes paths of videos from a queue, and answers with predictions.

python queue_worker.py runs/RUN clips/*.mp4
"""

import argparse
import multiprocessing
import time

import gcvideo
from gcvideo.data import VideoReadError


def work(checkpoint, paths, answers):
    """Answer (path, ranking, None) or (path, None, what is wrong) for each path, until None comes."""
    classifier = gcvideo.load(checkpoint, device="cpu").for_inference()
    for path in iter(paths.get, None):
        try:
            ranking = classifier.classify(path, top_k=3)
            answers.put((path, [(p.name, p.score) for p in ranking], None))
        except VideoReadError as error:  # one bad file must not end the worker
            answers.put((path, None, str(error)))


def main():
    """Send the videos of the command line to a worker, and print what it answers."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", help="a file, run folder, published name or hf://...")
    parser.add_argument("videos", nargs="+")
    args = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    paths, answers = context.Queue(), context.SimpleQueue()
    worker = context.Process(target=work, args=(args.checkpoint, paths, answers), daemon=True)
    worker.start()
    for video in [*args.videos, None]:
        paths.put(video)
    for _ in args.videos:
        while answers.empty() and worker.is_alive():
            time.sleep(0.01)
        if answers.empty():
            raise SystemExit("the worker has ended before its work; its message stands above")
        path, ranking, error = answers.get()
        print(path, error or ", ".join(f"{name} {score:.3f}" for name, score in ranking))
    worker.join()


if __name__ == "__main__":
    main()
