/** The model that is served, and what requests to it leave out. */
import type { Tokenizer } from '../data/tokenizers/tokenizer.ts';
import type { CompletionSettings } from '../sampling/settings.ts';

export interface ServedModel {
  /** As clients call it. */
  name: string;
  /** When its weights were written, in seconds since 1970. */
  createdSeconds: number;
  /** Names the weights. */
  fingerprint: string;
  tokenizer: Tokenizer;
  /** Tokens of prompt and completion together. */
  contextLength: number;
  /** The day that chat templates are told, as YYYY-MM-DD; null: today. */
  chatDate: string | null;
  /** What requests leave out. */
  defaults: CompletionSettings;
}
