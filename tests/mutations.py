"""Deliberate faults, one at a time and each alone, and whether the tests notice.

    python tests/mutations.py [-k WORDS] [--jobs 2]

Works on copies of the repository in a temporary folder, so without ../shared. Fails where a fault
survives, where its text is not in its file exactly once, and where the tests fail anyway.
"""

import argparse
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]

# == FILE | TESTS: below workflow/ and tests/unit/. Then faults: what is wrong, - text, + instead.
FAULTS = """
== ablations/training/loop.py | training/test_recipe.py::test_every_option_is_the_plain_loops
The learning rate is ten times the row's.
- lr=self.training.learning_rate
+ lr=10 * self.training.learning_rate
Weight decay is ignored.
- weight_decay=self.training.weight_decay
+ weight_decay=0.0
An evaluation's loss is the largest of its batches', not their mean.
- torch.stack(means).mean()
+ torch.stack(means).max()
An epoch's validation accuracy is the training one.
- validation=self.accuracy("validation", read["validation"])
+ validation=self.accuracy("train", read["train"])
An epoch's last batches, where they are fewer than an update's, update nothing.
- optimizer.step()
+ len(update) < self.training.accumulation_steps or optimizer.step()
The gradients of one update are still there in the next.
- optimizer.zero_grad()
+ self.tail
What is measured after a step is measured before it.
- optimizer.step()
-                 self._evaluate(plan, last, done)
+ self._evaluate(plan, last, done)
+                 optimizer.step()
== ablations/training/loop.py | training/test_accumulation.py
Accumulated losses are not divided by the number of batches.
- size * self.training.accumulation_steps
+ size
== ablations/training/schedule.py | training/test_recipe.py::test_every_option_is_the_plain_loops
The validation loader shuffles.
- _loader(sizes["validation"], size)
+ _loader(sizes["validation"], size, shuffle=True)
The evaluation at an epoch's end draws nothing.
-             accuracies[len(steps) - 1] = first_batches()
+             with torch.random.fork_rng(devices=[]):
+                 accuracies[len(steps) - 1] = first_batches()
== ablations/training/run.py | training/test_recipe.py::test_every_option_is_the_plain_loops
The final training accuracy is over all messages, not those of whole batches.
- right["train"][plan.final]
+ right["train"]
== ablations/training/run.py | training/test_times.py
The trunk's time is left out of the training time.
- seconds = done.seconds + run.frozen_seconds
+ seconds = done.seconds
== ablations/training/forward.py | training/test_times.py
The time of the frozen layers after the trunk is left out.
- seconds = before.seconds + machine.clock() - begin
+ seconds = before.seconds
== ablations/training/run.py | training/test_identity.py
A state of another seed is gone on with.
- seed=seed,
-         fold
+ seed=0,
+         fold
A state of another fold is gone on with.
- fold=arguments.fold,
-         tokens_sha256
+ fold=None,
+         tokens_sha256
A state of another checkpoint is gone on with.
- checkpoint_sha256=checkpoint.read_manifest(pretrained).sha256 if pretrained else None
+ checkpoint_sha256=None
== ablations/training/resume.py | training/test_resume.py::test_after_sigterm_it_goes_on
The optimizer's state is not restored.
- kind: tensor.to(parameter.device)
+ kind: torch.zeros_like(tensor)
== ablations/training/hidden_states.py |
| training/test_hidden_states.py::test_hidden_states_are_the_trunk_s_outputs
| training/test_hidden_states.py::test_nothing_that_decides_them_is_missing_in_an_entry_s_name
An entry's name leaves out the mask.
- f"{as_json(trunk)}
+ f"{as_json(structs.replace(trunk, causal=True))}
An entry's name leaves out the weights.
- f"{as_json(trunk)}
+ f"{as_json(structs.replace(trunk, weights=0))}
An entry's name leaves out the depth.
- f"{as_json(trunk)}
+ f"{as_json(structs.replace(trunk, end=0))}
The last sequence of a batch is not written.
- zip(part, output.numpy(), strict=True)
+ zip(part[:-1], output.numpy(), strict=False)
== ablations/training/inputs.py | training/test_inputs.py
What does not fit the first batch is not computed.
- while start < len(order)
+ if start < len(order)
== ablations/training/inputs.py | training/test_recipe.py::test_every_option_is_the_plain_loops
Of shorter messages in a batch the padding is read.
- positions = None if lengths is None else lengths - 1
+ positions = None
== ablations/data/sequences.py | data/test_sequences.py
Messages that only begin alike are taken for one.
- ids.tobytes(), len
+ ids[:3].tobytes(), len
The flexible token is the one after the message.
- position = own - 1
+ position = min(own, len(padded) - 1)
Padding is left out.
- np.full(most - own,
+ np.full(0,
What comes after the read position is cut without a causal mask too.
- whole = input.average_embeddings or not input.causal_mask
+ whole = input.average_embeddings
== ablations/model/gpt2.py | model/test_gpt2.py
| training/test_recipe.py::test_every_option_is_the_plain_loops
The causal mask is off.
- is_causal=reading.causal
+ is_causal=False
Positions are shifted by one.
- self.position.weight[
+ self.position.weight.roll(1, 0)[
== ablations/model/layers.py | model/test_gpt2.py
The mean over positions counts padding.
- x.masked_fill(~visible[..., None], 0).sum(1) / self.lengths[:, None]
+ x.mean(1)
== ablations/model/lora.py | model/test_gpt2.py
LoRA's update is divided by the rank.
- self.alpha = alpha
+ self.alpha = alpha / rank
LoRA's A are drawn in another order.
- in list(parent.named_children()):
+ in reversed(list(parent.named_children())):
== ablations/model/build.py | training/test_recipe.py::test_every_option_is_the_plain_loops
The head is not drawn from the seed.
- Generator().manual_seed(seed)
+ Generator()
LoRA's A are drawn from the seed again.
- row.lora_alpha, generator)
+ row.lora_alpha, Generator().manual_seed(seed))
== ablations/model/transformer.py | model/test_transformer.py
Old names of norms' weights are not known.
- (".gamma", ".weight")
+ (".gamma", ".gamma")
== ablations/model/parts.py | model/test_transformer.py
Padding is read without a causal mask.
- mask = None if visible is None else visible.long()
+ mask = None
The final norm stays frozen.
- each.requires_grad_(gradient is not None)
+ each.requires_grad_(False)
Attention without a mask stays causal.
- settings.is_causal = False
+ settings.is_causal = True
The embedding table is read for the last block too.
- if not from_ids:
-             _empty(model
+ if from_ids:
+             _empty(model
== ablations/data/sequences.py | data/test_sequences.py
Padding that is masked is read.
- max(1, own) if input.mask_padding else length
+ length
What closes a text is cut off.
- if len(text) <= length or not closing:
+ if True:
== ablations/model/lora.py | kept/test_kept.py
LoRA's update is merged without its factor.
- update = self.alpha * (self.a
+ update = (self.a
== ablations/kept/model.py | kept/test_kept.py
The head's bias is dropped.
- norm.bias.copy_(torch.from_numpy(after))
+ norm.bias.copy_(torch.from_numpy(before))
== ablations/predict.py | kept/test_kept.py
A text is padded to the model's positions and not as its row's were.
- settings.input, kept.context_tokens, kept.padding_id
+ settings.input, settings.dimensions.n_positions, kept.padding_id
== ablations/kept/given.py | kept/test_predict.py
A table is classified line by line, its names too.
- found and of_model and
+ False and
The columns of the model's own texts are not known.
- list(own.text_columns)
+ ["text"]
Quotes are read otherwise than in training.
- stated["quotes"] = own.quotes
+ pass
Texts beside a folder with texts are left out.
- list(_in_folder(path, reading, kept))
+ list(_in_folder(path, reading, kept))[1:]
== ablations/kept/write.py | kept/test_kept.py
transformers reads the last token before the padding of every row.
- None if kept.reads_last else kept.padding_id
+ kept.padding_id
== ablations/study/cut.py | study/test_cut.py
Runs of several seeds share a trunk of random weights.
- seed=seed if row.weights == "random" else None
+ seed=None
A trunk's file does not tell the mask.
- ["no-mask"]
+ []
A trunk reaches into the last block.
- first_trained(row), LAST_BLOCK)
+ first_trained(row), NORM)
LoRA in the last blocks freezes nothing.
- case "lora" if row.lora_blocks:
+ case "lora" if not row.lora_blocks:
== ablations/answers/statistics.py | answers/test_noise.py answers/test_statistics.py
Wilson's interval is the normal one.
- method="wilson"
+ method="normal"
Tango's variance is that of the measured difference.
- _tango_variance(paired.lost, paired.gained, supposed)
+ _tango_variance(paired.lost, paired.gained, paired.difference)
McNemar's test is one-sided.
- p = 2 * stats.binom.cdf
+ p = stats.binom.cdf
Equivalence is shown by half of the interval.
- margin) & outside[0] & outside[1]
+ margin) & outside[0]
The average effect counts no text won and none lost.
- text_square * texts + 2)
+ text_square * texts)
A reference is taken for a row with noise of its own.
- prior.pairs if alike or found.folds else prior.rows
+ prior.pairs
A chance is that of the noise between runs alone.
- of_texts[..., None] + spread.variances
+ 0 * of_texts[..., None] + spread.variances
== ablations/answers/noise.py | answers/test_noise.py answers/test_statistics.py
There is a degree of freedom too many.
- freedom = means.shape[-1] - 1
+ freedom = means.shape[-1]
A comparison counts its own rows' noise only.
- else typical.freedom)
+ else 0 * typical.freedom)
The noise of folds is not counted.
- np.maximum(variances, 0) / found.runs
+ np.maximum(variances, 0) / found.runs * (not found.folds)
A mean is taken over one run more than there are.
-         runs=runs,
+         runs=runs + 1,
What is typical is known as if a comparison's own runs told it again.
- np.maximum(independent - 1, 0.0) * own
+ np.maximum(independent, 0.0) * own
What texts explain is taken for noise between runs.
- np.exp(at) - found.explained[..., None]
+ np.exp(at)
Rows that answer alike count as often as they are there.
- first[..., other[index]] &= ~alike
+ first[..., other[index]] |= alike
== ablations/answers/comparisons.py |
| answers/test_comparisons.py::test_the_verdict_is_the_adjusted_tests
| answers/test_comparisons.py::test_confounded_rows_name_the_rows_that_would_make_it_clean
| answers/test_comparisons.py::test_the_difference_with_its_interval_and_p
| answers/test_comparisons.py::test_near_copies_of_training_texts_are_left_out_too
| answers/test_comparisons.py::test_outcomes
P-values are not adjusted.
- adjusted_p=p) for
+ adjusted_p=each.p) for
Confounded comparisons are not named so.
- len(self.settings) > 1
+ len(self.settings) > 9
Rows are paired the wrong way round.
- statistics.pair(one, other,
+ statistics.pair(other, one,
A claim is confirmed by any difference.
- self.verdict == claim
+ self.decided
Near-copies are not left out.
- some = texts.near >= learned
+ some = texts.near >= 0
== ablations/training/metrics.py |
| answers/test_table.py::test_a_run_of_other_settings_than_the_row_has_now_is_refused
Runs of other settings than the row's are accepted.
- found.settings != row
+ False
== ablations/answers/finished.py |
| answers/test_table.py::test_the_training_interval_counts_whole_batches
The training accuracy's interval counts the batch that an epoch drops.
- min(size, self.train_size) // batch * batch
+ min(size, self.train_size)
== ablations/answers/scores.py | answers/test_intervals.py::test_in_the_table_to_compute_with
| answers/test_results.py::test_every_text_is_tested_by_its_fold_and_a_row_is_measured_on_all
| answers/test_results.py::test_a_copy_counts_where_the_row_learns_from_it
| answers/test_table.py::test_a_time_compares_on_the_usual_machine_alone
The interval of the test accuracy takes every seed's messages for new ones.
- statistics.mean_accuracy_interval(row.right, prior, texts.fold)
+ statistics.wilson(row.right.mean(), row.right.size)
So do those of other splits.
- statistics.wilson(mean, min(sizes))
+ statistics.wilson(mean, min(sizes) * len(runs))
A row's accuracy is the mean of its runs', whatever the sizes of their folds.
- mean = row.right.mean()
+ mean = np.mean(runs)
Copies of texts that a row does not learn from count too.
- texts, texts.copied >= row.train_size)
+ texts, ~texts.in_train)
A time with another number of threads passes for comparable.
- run.threads != machine.threads
+ False
== ablations/data/near_copies.py | data/test_near_copies.py
Near-duplicates with as few words in common as can be are overlooked.
- OF * in_both >= SHARED
+ OF * in_both > SHARED
== ablations/answers/written/accuracy_and_number.py | answers/test_figures.py
The lines of a grid's figure all show the same rows.
- if values[apart] == other
+ if values[apart] == others[0]
== ablations/answers/missed.py | answers/test_page.py
A row that is wrong with some seeds only is not among those that are wrong.
- ~row.right[:, listed].all(0)
+ ~row.right[:, listed].any(0)
== ablations/answers/written/page.py | answers/test_page.py
The page may run any script.
- script-src 'sha256-{digest}'
+ script-src 'unsafe-inline'
== ablations/study/config.py | study/test_inheritance.py
| study/test_config.py::test_rows_inherit_from_the_baseline_wherever_it_is
What is set under training overrides a row.
- shared | options(entry) | values
+ shared | options(entry) | values | structs.asdict(config.training)
Rows inherit the baseline's published numbers.
- entry.published,
+ baseline.published,
Defaults override the baseline.
- settings.defaults() | structs.asdict(config.training) | options(baseline)
+ structs.asdict(config.training) | options(baseline) | settings.defaults()
== ablations/study/kinds.py | study/test_config.py
Infinity is a learning rate.
- return abs(found) <= (2**63 - 1 if self.type is int else sys.float_info.max)
+ return True
== ablations/study/door.py | study/test_config.py
A seed may appear twice.
- len(set(values)) < len(values)
+ False
The kind of an entry is always the last.
- if entry.known_by in found)
+ if False)
== ablations/study/settings.py | study/test_inheritance.py
LoRA's rank is told where nothing is trained by LoRA.
- getattr(self, other) != value for
+ False for
== ablations/answers/power.py | answers/test_comparisons.py
Folds are said to differ less than seeds do.
- paired.spread.variances * paired.runs / folds
+ paired.spread.variances / folds
== ablations/study/grid.py | study/test_grid.py
A grid's rows are in the order of the file that tells of them.
- keys = [key for key in OPTIONS if key in self.values]
+ keys = list(self.values)
A question about a grid with a chosen row is asked about the grid.
- chosen.get(row, row)
+ row
== ablations/answers/selection.py | answers/test_selection.py
The worst row of a grid is chosen.
- return -round(float(accuracy), 9), float(loss)
+ return round(float(accuracy), 9), float(loss)
The first of equally accurate rows is chosen, whatever its loss.
- float(loss)
+ 0.0
== ablations/files.py | ground/test_whole_files.py
What a failed write left gets the file's name.
-         temporary.replace(path)
-     finally:
-         temporary.unlink(missing_ok=True)
+     finally:
+         temporary.replace(path)
A text is written in its place.
-     with whole(path) as temporary:
-         temporary.write_text(
+     with whole(path):
+         path.write_text(
== ablations/data/cuts.py | data/test_cuts.py
The larger class gives its first messages, not a sample.
- part.sample(size, random_state=seed)
+ part[:size]
The sizes of the splits are rounded.
- (size * share).astype(int)
+ (size * share).round().astype(int)
Each class is cut by the shares of all.
- pd.Series(labels if stratify else np.zeros_like(labels))
+ pd.Series(np.zeros_like(labels))
A fold's validation texts are those before its test texts.
- ring(tested)[: np
+ np.flatnonzero(~tested)[: np
Near-copies of a text that is tested validate.
- needed <= room
+ True
A group of near-copies goes to the first part.
- np.lexsort((sizes.sum(0), sizes[own[0]]))[0]
+ 0
== ablations/data/collection.py | data/test_cuts.py training/test_recipe.py
A fold's order is the table's.
- -(np.flatnonzero(tested)[-1] + 1)
+ 0
== ablations/data/tokens.py | training/test_recipe.py
All training texts are trained on, whatever train_size says.
- found["train"][:train_size]
+ found["train"]
The longest text is that of the first fold's training texts.
- ever_trained(self.cuts)
+ next(iter(self.cuts.values())) == 0
== ablations/data/sequences.py | data/test_sequences.py training/test_times.py
A text counts as often as it stands there.
- np.unique(self.of_text[texts])
+ self.of_text[texts]
== ablations/data/content.py | data/test_texts.py
A file that a spreadsheet marked as UTF-8 is read with its mark.
- found.removeprefix("\\ufeff")
+ found
== ablations/data/separated.py | data/test_quotes.py
A quote that is never closed passes.
- "unexpected end" not in str(error)
+ True
A line with more cells than columns is read.
- len(row.cells) != len(header.cells)
+ len(row.cells) < len(header.cells)
A text that goes on after its closing quote is read without the quote.
- strict=quotes != "pandas"
+ strict=False
Rows that a quote joins are one text.
- len(within) > 1
+ len(within) > 99
A text of two lines is taken for two rows.
- len(within) > 1
+ within
Quotes of a TSV that are part of a text go.
- self.needless and self.bare
+ False
Quotes of a CSV that are part of a text go.
- if self.quoted and self.stray:
+ if False:
== ablations/data/tokenizer.py | data/test_tokenizer.py
A piece of Unigram's that is spelt as a special token is that token.
- model["type"] != "BPE" or
+ False and
== ablations/model/checkpoint.py | model/test_checkpoint.py
The names that a compiled model's tensors have are not known.
- WRAPPERS.sub("", key)
+ key
== ablations/data/texts.py | data/test_dataset_keys.py data/test_texts.py
A key that a JSON object has twice has its last value.
- names.count(key) > 1
+ False
The numbers of a hub's Parquet file are the classes, and not what its schema calls them.
- dict(enumerate(_class_label(source.name, schema, reading) if labelled else ()))
+ {}
A column that is joined to another is left out.
- "\\n".join(parts)
+ parts[0]
== ablations/data/classes.py | data/test_classes.py
Classes that are whole numbers are in the order of their characters.
- sorted(names, key=int) if
+ names if
A value that is missing is a class.
- label.casefold() in MISSING and
+ False and
Labels that look alike are two classes.
- spelt.setdefault(plain(label), label)
+ spelt.setdefault(label, label)
== ablations/data/remarks.py | data/test_split.py
What balancing leaves is told in no case.
- < LEAST_KEPT * len(found)
+ < 0
Every text is one with two labels.
- labels[labels > 1]
+ labels[labels > 0]
A class that training lacks is accepted.
- lacking and name == "train"
+ False
== ablations/data/tokenizer.py | data/test_tokens.py::test_awkward_texts_as_bytes
<|endoftext|> within a message is special.
- found.encode_ordinary(text)
+ found.encode(text, allowed_special="all")
== ablations/sources/download.py | sources/test_download.py
The checksum is not verified.
- found != expected
+ False
What fails for good is tried again.
- response.status_code in TRANSIENT_STATUS
+ True
A download that failed leaves a file under its name.
- with files.whole(path) as temporary:
+ for temporary in [path]:
== ablations/sources/hub.py | sources/test_hub.py sources/test_download.py
A damaged file of the hub's cache is taken.
- expected not in (found
+ False and expected not in (found
A file that is not the pinned one is taken.
- pinned not in (None, found)
+ False
A file that may be missing is looked up past the mirror.
- mirror_alone=complete
+ mirror_alone=False
== ablations/sources/hub.py | sources/test_collection.py::test_killed_run_is_cleaned_up_by_the_next
What a killed download left is kept.
- > ORPHANED_SECONDS
+ > 1e9
== ablations/code.py |
| ground/test_code.py::test_a_program_depends_on_what_it_imports_directly_or_not_and_on_its_data
An import within a function is not followed.
- for node in ast.walk(tree):
+ for node in tree.body:
A module imported from its package is not followed.
- [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
+ [node.module]
== ablations/code.py |
| ground/test_code.py::test_what_is_no_words_of_a_message_is_a_change
| ground/test_code.py::test_what_a_file_means_is_remembered_until_it_changes
What is filled into a message counts for nothing.
- if isinstance(part, ast.FormattedValue)]
+ if isinstance(part, ast.Name)]
An edited file means what it meant before.
- if known is None or known.state != state:
+ if known is None:
== ablations/model/trial.py
| model/test_transformer.py::test_a_decoder_that_reads_both_ways_is_an_encoder
| model/test_transformer.py::test_a_model_that_reads_masked_padding_is_refused
| model/test_transformer.py::test_a_model_that_a_short_text_changes_is_refused
A model that reads later tokens may be a causal row.
- if not reads_later(part, masked=not causal):
+ if causal or not reads_later(part, masked=True):
A model that reads masked padding may be a row.
- if not reads_later(part, masked=not causal):
+ if not (causal and reads_later(part, masked=False)):
What is read through embeddings alone is not seen.
- read = embedded[-1] if part.from_ids else states
+ read = states
What a short text changes for all others is not seen.
- if before[key] != value:
+ if key not in before:
== rules/common.smk | ground/test_snakemake_rules.py
A job tried again is given no more memory.
- attempt * needs(wildcards).memory_mb
+ needs(wildcards).memory_mb
== ablations/study/extends.py | study/test_extends.py
What a file extends has the last word.
- return [*below(extended, other, files), Said(str(other), extended)]
+ return [Said(str(other), extended), *below(extended, other, files)]
A mapping takes the place of the whole one that is extended.
- _merged([old, value] if isinstance(old, Mapping) else [value])
+ _merged([value])
== ablations/training/hidden_states.py |
| training/test_hidden_states.py::test_what_is_not_the_caches_own_is_never_deleted
Any folder beside the cache's entries is one.
- paths.is_of_cache(path.name) and path.is_dir()
+ path.is_dir()
== ablations/training/resume.py
| training/test_resume.py::test_a_second_hang_up_does_not_end_what_the_first_asked_for
The second hang-up of a closed terminal ends what the first asked for.
- signal.SIG_IGN if each == signal.SIGHUP else signal.SIG_DFL
+ signal.SIG_DFL
== ablations/__init__.py | ground/test_cli.py::test_modules_of_the_users_come_after_all_others
A user's statistics.py is Python's.
- sys.path.sort(
+ sorted(sys.path,
== ablations/study/reading.py | study/test_reading.py
Of a key that appears twice the last value is used.
- if name in first:
+ if name in ():
== ablations/study/statements.py | study/test_statements.py
Rows in another order say the same.
- yield f"{where}{', '.join(entry['id'] for entry in node)}"
+ yield f"{where}{', '.join(sorted(entry['id'] for entry in node))}"
== ablations/training/metrics.py | training/test_status.py
A run of what its row was before counts as finished.
- if found.settings != row:
+ if found.row != row.row:
== ablations/study/references.py | references/test_references.py
Characters are counted across words.
- "char_wb",
-         fewest
+ "char",
+         fewest
Characters are weighted by the regression's default.
- inverse_penalty=10.0,
-         called="counted characters"
+ inverse_penalty=1.0,
+         called="counted characters"
Pairs of words are not counted.
- most=2
+ most=1
== ablations/references/classifier.py | references/test_references.py
A count itself is weighted, not its logarithm.
- sublinear_tf=True
+ sublinear_tf=False
Every reference is as strict as scikit-learn's default.
- C=reference.inverse_penalty, max_iter
+ max_iter
Every reference is weighted.
- weighted if reference.weighted else
+ weighted if True else
The second class's score is the first's.
- [np.zeros_like(scores), scores]
+ [scores, np.zeros_like(scores)]
Texts in which nothing is counted are refused.
- if not any(
+ if False and any(
== ablations/references/run.py | references/test_references.py
A reference learns from the test texts too.
- answer = classifier.train(reference, texts["train"], labels)
+ both = [*labels, *read.labels[lines["test"]]]
+     answer = classifier.train(reference, texts["train"] + texts["test"], both)
A class that training lacks is not noticed.
- if label not in labels:
+ if False:
A training accuracy is the test accuracy.
- right = {split: found.predicted == found.labels for split, found in answers.items()}
+ right = {split: answers["test"].predicted == answers["test"].labels for split in answers}
The folds' files are one.
- folder = arguments.output_dir / paths.in_fold("", fold)
+ folder = arguments.output_dir
== ablations/answers/compute.py | answers/test_references.py
Rows are measured against the reference that gets least right.
- return max(self.references
+ return min(self.references
== ablations/answers/written/notes.py | answers/test_references.py
Rows that are better than counting are said not to be.
- if row.accuracy["test"].mean <= right + 1e-9
+ if right
== ablations/answers/finished.py | answers/test_references.py
Files of another reference are accepted.
- if (found.reference, found.fold) != (name, cut.number):
+ if False:
== ablations/answers/comparisons.py | answers/test_references.py
Training times are compared with those of references.
- "a reference only counts"
+ None
== snakemake_logger_plugin_progress/__init__.py | ground/test_progress.py
What is left counts the work of jobs that have finished.
- and key not in self.finished
+ and True
What a rule's jobs took beside their work counts for nothing.
- sum(beside) / len(beside)
+ START_SECONDS
What is left is as long where several jobs run at once.
- return found / self.at_once
+ return found
"""
FAULT = re.compile(r"^(.+)\n((?:- .*\n)+)((?:\+ .*\n)+)", re.MULTILINE)


class Fault(NamedTuple):
    """A text of a file replaced by another, and the tests that must notice."""

    what: str
    file: str
    old: str
    new: str
    tests: list[str]


def read(text: str) -> list[Fault]:
    found = []
    for group in re.split(r"^== ", text, flags=re.MULTILINE)[1:]:
        heading = re.match(r".*\n(?:\| .*\n)*", group)[0]
        file, *tests = heading.replace("|", "").split()
        for what, *sides in FAULT.findall(group):
            old, new = ("\n".join(line[2:] for line in side.splitlines()) for side in sides)
            tests_of = [f"tests/unit/{name}" for name in tests]
            found.append(Fault(what, f"workflow/{file}", old, new, tests_of))
    return found


def copy(folder: Path) -> Path:
    """A copy of the repository, as git sees it, alone in this folder."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    return folder


def run(copied: Path, tests: Sequence[str]) -> tuple[int, str]:
    """Exit status and output of these tests; the library is the copy's own."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n", "0", "--hypothesis-seed=0", *tests]
    # no bytecode: what is edited twice within a second would be taken for unchanged
    own = {"PYTHONPATH": str(copied / "workflow"), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=copied, env=os.environ | own, capture_output=True, text=True, timeout=600
    )
    return done.returncode, done.stdout + done.stderr


def noticed_by(copied: Path, fault: Fault) -> str | None:
    """The test that notices a fault; None where all pass."""
    file = copied / fault.file
    right = file.read_text(encoding="utf-8")
    file.write_text(right.replace(fault.old, fault.new), encoding="utf-8")
    try:
        status, output = run(copied, fault.tests)
    finally:
        file.write_text(right, encoding="utf-8")
    found = re.search(r"^(?:FAILED|ERROR) \S+/(\S+::.+?)(?: - |$)", output, re.MULTILINE)
    if status and not found:
        raise SystemExit(f"{fault.what} {fault.file}: no test ran:\n{output}")
    return found[1] if status else None


def main() -> int | str:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", metavar="WORDS", default="", help="only where file or text has them")
    parser.add_argument("--jobs", type=int, default=1, help="copies that are tested at once")
    arguments = parser.parse_args()
    chosen = [it for it in read(FAULTS) if arguments.k.lower() in f"{it.file} {it.what}".lower()]
    if not chosen:
        return f"no fault has {arguments.k!r} in its file or text"
    for fault in chosen:
        if (count := (ROOT / fault.file).read_text(encoding="utf-8").count(fault.old)) != 1:
            return f"{fault.what} {fault.file} has this {count} times, not once:\n{fault.old}"
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(arguments.jobs) as pool:
        copies: queue.Queue[Path] = queue.Queue()
        for number in range(arguments.jobs):
            copies.put(copy(Path(folder, str(number), "repository")))

        def tried(fault: Fault) -> str | None:
            copied = copies.get()
            try:
                return noticed_by(copied, fault)
            finally:
                copies.put(copied)

        status, output = run(copies.queue[0], sorted({name for it in chosen for name in it.tests}))
        if status:
            return f"the tests fail without any fault:\n{output}"
        caught = 0
        for fault, test in zip(chosen, pool.map(tried, chosen), strict=True):
            caught += test is not None
            print(f"{'caught  ' if test else 'SURVIVED'}  {fault.what}", flush=True)
            print(f"          {fault.file.removeprefix('workflow/')}; {test or 'no test'}")
    print(f"{caught} of {len(chosen)} faults caught")
    return int(caught < len(chosen))


if __name__ == "__main__":
    sys.exit(main())
