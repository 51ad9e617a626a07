"""mm-emotion demo: a page in the browser."""

import argparse

SUMMARY = "a page in the browser: upload or record a clip, paste a conversation, or talk live"
EXAMPLES = "mm-emotion demo --model build/demo/model"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", required=True, help="folder of a saved system or a Hub id")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860")


def run(options: argparse.Namespace) -> None:
    from mm_emotion.demo import build_page
    from mm_emotion.pipeline import MultimodalEmotionPipeline, load_system, quiet_loading

    quiet_loading()
    model, processor = load_system(options.model)
    page = build_page(MultimodalEmotionPipeline(model, processor=processor, progress_bar=False), options.model)
    try:
        page.launch(
            prevent_thread_lock=True, quiet=True, server_name="127.0.0.1", server_port=options.port, share=False,
            **page.launch_options,
        )  # fmt: skip
    except OSError as error:
        raise OSError(f"port {options.port} cannot be opened: choose another with --port") from error
    print(f"http://127.0.0.1:{options.port} is open to this machine alone; Ctrl+C closes it", flush=True)
    page.block_thread()
