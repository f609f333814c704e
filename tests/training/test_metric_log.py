from gcvideo.training import MetricLog


def rows(path):
    return path.read_text().splitlines()


def test_rows_are_on_disk_as_they_come_under_sorted_columns(tmp_path):
    log = MetricLog(str(tmp_path / "csv" / "metrics.csv"), without=["clips_per_second"])
    log.log_metrics({"train/loss_step": 0.5, "clips_per_second": 3.0, "epoch": 0}, step=1)
    assert rows(log.path) == ["epoch,step,train/loss_step", "1,1,0.5"]
    log.log_metrics({"lr": 0.1, "epoch": 0}, step=1)
    log.log_metrics({"clips_per_second": 3.0, "epoch": 0}, step=2)
    assert rows(log.path) == ["epoch,lr,step,train/loss_step", "1,,1,0.5", "1,0.1,1,"]


def test_only_some_metrics_are_kept_where_they_are_named(tmp_path):
    log = MetricLog(str(tmp_path / "timing.csv"), only=["data_wait"])
    log.log_metrics({"train/loss_step": 0.5, "data_wait": 0.25}, step=3)
    assert rows(log.path) == ["data_wait,step", "0.25,3"]


def test_a_resumed_log_drops_later_rows_and_columns_and_ends_equal(tmp_path):
    def write(log, steps):
        for step in steps:
            log.log_metrics({"loss": 1 / (step + 1), "epoch": step // 3}, step=step)
            if step % 3 == 2:
                log.log_metrics({"val/top1": step / 10, "epoch": step // 3}, step=step)

    whole = MetricLog(str(tmp_path / "whole.csv"))
    write(whole, range(7))
    killed = MetricLog(str(tmp_path / "killed.csv"))
    write(killed, range(2))
    state = killed.state_dict()
    write(killed, range(2, 5))
    with killed.path.open("a") as file:
        file.write("0,0.3")  # a row that was being written
    resumed = MetricLog(str(tmp_path / "killed.csv"))
    resumed.load_state_dict(state)
    assert rows(resumed.path) == ["epoch,loss,step", "1,1.0,0", "1,0.5,1"]
    write(resumed, range(2, 7))
    assert resumed.path.read_bytes() == whole.path.read_bytes()


def test_a_new_run_in_the_same_folder_starts_its_table_anew(tmp_path):
    path = tmp_path / "metrics.csv"
    MetricLog(str(path)).log_metrics({"loss": 1.0}, step=0)
    MetricLog(str(path)).log_metrics({"loss": 2.0}, step=0)
    assert rows(path) == ["loss,step", "2.0,0"]
