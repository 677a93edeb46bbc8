/** What preference pairs and their objective cannot be combined with is refused by name. */
import { expect, it } from 'vitest';
import { useConfigFolder } from './configFolder.ts';

const folder = useConfigFolder();
const pairs = '{ path: p.jsonl, chosen: good, rejected: bad }';
const text = '{ path: t.txt }';
const dpo = 'training: { objective: { kind: dpo } }\n';

it.each([
  [
    `corpus: { sources: [${pairs}] }\n`,
    'a.yaml:1:46: corpus.sources[0].chosen requires training.objective.kind: dpo, for all sources',
  ],
  [
    `corpus: { sources: [${pairs}, ${text}] }\n${dpo}`,
    'a.yaml:1:77: training.objective.kind: dpo trains on preference pairs alone, and corpus.sources[1].path has none',
  ],
  [
    `corpus: { sources: [{ path: p.jsonl, chosen: good }] }\n${dpo}`,
    'corpus.sources[0].chosen requires corpus.sources[0].rejected: preference pairs have both',
  ],
  [
    `corpus: { sources: [{ path: p.jsonl, chosen: good, rejected: bad, messages: m }] }\n${dpo}`,
    'corpus.sources[0].messages and preference pairs (corpus.sources[0].chosen) exclude each other',
  ],
  [
    `corpus: { sources: [${pairs}] }\n${dpo}`,
    'a.yaml:2:32: training.objective.kind: dpo requires start.from: the model in it is trained, and is the reference',
  ],
  [
    `corpus: { sources: [${pairs}], packing: documents }\n${dpo}`,
    'corpus.packing: documents has no effect on preference pairs; remove it',
  ],
  [
    `corpus: { sources: [${text}] }\ntraining: { objective: { beta: 0.2 } }\n`,
    'training.objective.beta has no effect with training.objective.kind: crossEntropy; set it to null, or ' +
      'training.objective.kind to dpo',
  ],
  [
    `corpus: { sources: [${pairs}] }\ntraining: { objective: { kind: dpo, labelSmoothing: 0.5 } }\n`,
    'training.objective.labelSmoothing must be less than 0.5',
  ],
])('%s', (config, message) => expect(folder.refusal(config)).toContain(message));
