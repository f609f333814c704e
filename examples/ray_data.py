"""Ray Data classifies the videos of a list, on this machine or a cluster, into a folder of parquet files.

python ray_data.py runs/RUN videos.txt scores --actors 4

Each video has a row: path, label, name and score of its best class, or error. All machines must see the
videos and the checkpoint under the same paths.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray otherwise reports to its makers

import pyarrow as pa
import ray

import gcvideo
from gcvideo.data import VideoReadError

# Without types, a batch without errors would make a file that does not fit the others.
KEYS = {"path": "string", "label": "int64", "name": "string", "score": "float64", "error": "string"}


class BestClass:
    """An actor: it loads the net once, and answers for batches of paths."""

    def __init__(self, checkpoint):
        self.classifier = gcvideo.load(checkpoint, device="cpu").for_inference()

    def __call__(self, batch):
        paths = batch["path"].tolist()
        rows = [{"path": path} for path in paths]
        # One process beside the actor reads, so that a file that crashes its decoder does not end the actor.
        results = gcvideo.classify_videos(self.classifier, paths, num_workers=1, progress=False)
        for index, found in results:
            if isinstance(found, VideoReadError):
                rows[index]["error"] = str(found)
            else:
                (best,) = self.classifier.rank(found, 1)
                rows[index] |= {"label": best.label, "name": best.name, "score": best.score}
        return pa.Table.from_pylist(rows, pa.schema(list(KEYS.items())))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("checkpoint", help="a file, run folder, published name or hf://...")
    parser.add_argument("list", type=Path, help="a file with a path in each line")
    parser.add_argument("folder", type=Path, help="of the parquet files; it must not exist")
    parser.add_argument("--actors", type=int, default=2, help="nets at work, each on one core")
    args = parser.parse_args()
    # Actors may run in other folders.
    checkpoint, names = Path(args.checkpoint).absolute(), args.list.read_text().splitlines()
    videos = ray.data.from_items([{"path": str(Path(name).absolute())} for name in names if name])
    rows = videos.map_batches(
        BestClass,
        fn_constructor_args=[str(checkpoint) if checkpoint.exists() else args.checkpoint],
        batch_size=64,
        num_cpus=1,
        compute=ray.data.ActorPoolStrategy(size=args.actors),
    )
    # Two defaults would not do: writing would wait for a core until all videos are done if the actors have
    # all cores, and a second run would add its rows to those of the first.
    folder, once = str(args.folder.absolute()), ray.data.SaveMode.ERROR
    rows.write_parquet(folder, mode=once, ray_remote_args={"num_cpus": 0})
