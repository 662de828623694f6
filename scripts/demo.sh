#!/usr/bin/env bash
# The whole way on a short public clip: install, track, train two edits, render. What is done already is not done again,
# and an interrupted training goes on where it was.
#
#     bash scripts/demo.sh
#     bash scripts/demo.sh --prompt "lips: red lipstick" --prompt "a charcoal drawing"
#
# With prompts of your own the trained portrait of the first form is used again, if it is there. Further arguments go to
# ns-train.
set -euo pipefail
cd -P "$(dirname "${BASH_SOURCE[0]}")/.."
trap 'exit 130' INT # ns-train ends well when it is interrupted.

fail() {
    echo "demo: $*" >&2
    exit 2
}

prompts=()
options=()
name=demo
[ $# -eq 0 ] || name=demo-$(printf '%s\n' "$@" | cksum | cut -d ' ' -f 1)
while [ $# -gt 0 ]; do
    if [ "$1" = --prompt ]; then
        [ $# -gt 1 ] || fail "--prompt needs an instruction after it, such as \"hair: make it silver\"."
        prompts+=("$2")
        shift
    elif [ "$1" = --help ] || [ "$1" = -h ]; then
        sed -n '2,/^set/{/^set/!s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit
    else
        options+=("$1")
    fi
    shift
done
[ ${#prompts[@]} -gt 0 ] || prompts=("hair: make it silver" "turn him into a bronze statue")

report=
stage() { # TITLE USUAL-TIME COMMAND...
    local title=$1 usual=$2 start=$SECONDS
    shift 2
    echo "== $title (usually $usual)"
    "$@"
    report+=$(printf '  %-44s %3d min %2d s' "$title" $(((SECONDS - start) / 60)) $(((SECONDS - start) % 60)))$'\n'
}

skip() { # TITLE
    report+=$(printf '  %-44s done before' "$1")$'\n'
}

stage install "10 minutes the first time" bash scripts/install.sh
export PATH="$PWD/.venv/bin:$PATH"
# Two threads to a process are many times slower than one when the machine's few cores are busy.
export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
# nerfstudio and torch warn of their own future.
export PYTHONWARNINGS="${PYTHONWARNINGS:-ignore}"

video=demo/carphone.mp4
clip=demo/clip
method=demo/outputs/carphone/portrait-edit
run=$method/$name
stage "fetch the clip" "10 s" python scripts/fetch_demo_clip.py

is_tracked() {
    [ -f $clip/transforms.json ] && [ $clip/transforms.json -nt $video ] &&
        python -c "from pathlib import Path; from tracking.clip import TrackedClip; TrackedClip.load(Path('$clip'))" 2>/dev/null
}
if is_tracked; then
    skip track
else
    stage track "1 minute" portrait-track $video $clip --overwrite
fi

# nerfstudio counts on from the newest checkpoint in a folder.
has_checkpoint() { # RUN
    [ -n "$(find "$1/nerfstudio_models" -name 'step-*.ckpt' -newer $clip/transforms.json 2>/dev/null)" ]
}
train() {
    local load=()
    if has_checkpoint "$run"; then
        echo "Going on with the interrupted training in $run."
        load=(--load-dir "$run/nerfstudio_models")
    elif [ ${#options[@]} -eq 0 ] && [ $method/demo/finished -nt $clip/transforms.json ]; then
        load=(--load-dir $method/demo/nerfstudio_models)
    fi
    ns-train portrait-edit --data $clip --output-dir demo/outputs --experiment-name carphone --timestamp "$name" \
        --vis tensorboard --logging.local-writer.max-log-size 0 --pipeline.render-when-done False \
        --pipeline.prompts "${prompts[@]}" \
        ${load[@]+"${load[@]}"} ${options[@]+"${options[@]}"}
    touch "$run/finished"
}
if [ "$run/finished" -nt $clip/transforms.json ]; then
    skip train
else
    stage train "5 to 10 minutes on two cores" train
fi

render() { # OUTPUT PORTRAIT-RENDER-OPTIONS...
    local output=$1
    shift
    if [ "$output" -nt "$run/finished" ]; then
        skip "render $(basename "$output")"
    else
        stage "render $(basename "$output")" "1 to 2 minutes" \
            portrait-render --load-config "$run/config.yml" --output "$output" --overwrite "$@"
    fi
    written+=("$output")
}
edited=()
written=()
for number in "${!prompts[@]}"; do
    slug=$(printf %s "${prompts[$number]}" | tr '[:upper:]' '[:lower:]' | tr -cs '[:alnum:]' -)
    edited+=("demo/$slug.mp4")
    render "demo/$slug.mp4" --prompt $((number + 1))
done
render "demo/$name-side-by-side.mp4" --prompt all --side-by-side
stage "contact sheet" "5 s" python scripts/contact_sheet.py "demo/$name-contact-sheet.png" $video "${edited[@]}"
written+=("demo/$name-contact-sheet.png")

cat <<END
== done
$report
What was written, besides the tracked clip in $clip and the run in $run:
$(printf '  %s\n' "${written[@]}")

Next, with a video of your own, of one person talking:
  source .venv/bin/activate
  portrait-track talk.mp4 talk_clip
  ns-train portrait-edit --data talk_clip --vis tensorboard --pipeline.prompts "lips: red lipstick" "an oil painting"
  portrait-render --output edited.mp4 --prompt 1
END
