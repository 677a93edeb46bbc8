/** What scoring answers with. Types alone: who only names them loads and declares nothing of TensorFlow. */

export interface TextScore {
  /** Σ ln p of the tokens scored, nats. */
  logProbability: number;
  /** Tokens scored: all but the first of a text, those of a continuation. */
  tokens: number;
  /** UTF-8 bytes that they stand for. */
  bytes: number;
  tokenIds: number[];
  /** ln p of each token scored. */
  logProbabilities: number[];
}

export interface ChoiceScores {
  choices: ({ text: string } & TextScore)[];
  /** The choice with the highest log-probability. */
  best: number;
  /** The one with the highest log-probability per byte, which does not favour short ones. */
  bestPerByte: number;
}
