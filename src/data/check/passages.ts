/** Passages that occur twice: runs of lines that follow each other in both places, the longest of them. */

export interface Passage {
  lines: number;
  bytes: number;
  /** Position in the corpus of the text as it was read, and of the text that it repeats. */
  at: number;
  of: number;
  /** How often such a passage of the same text was found. */
  times: number;
}

export interface Passages {
  /** The next line of a text. @param of where the same line was seen before, or −1 */
  line(at: number, of: number, bytes: number): void;
  /** The longest passages, longest first. Call it at the end. */
  longest(): Passage[];
}

/** @param most passages to keep */
export function openPassages(most: number): Passages {
  const kept: Passage[] = [];
  let run: Passage | undefined;
  let [lastAt, lastOf] = [0, 0];
  const endRun = (): void => {
    const ended = run;
    run = undefined;
    if (ended === undefined) return;
    const same = kept.find(({ of }) => of === ended.of);
    if (same !== undefined) {
      same.times++;
      if (ended.bytes > same.bytes) Object.assign(same, { ...ended, times: same.times });
    } else kept.push(ended);
    kept.sort((a, b) => b.bytes - a.bytes);
    if (kept.length > most) kept.pop();
  };
  /** Whether both places have moved on by about the same; short lines between, and their ends, may differ. */
  const isNext = (at: number, of: number): boolean => {
    const [step, ofStep] = [at - lastAt, of - lastOf];
    return ofStep >= 0 && Math.abs(step - ofStep) <= 16 + step / 10;
  };
  return {
    line: (at, of, bytes) => {
      if (run !== undefined && (of < 0 || !isNext(at, of))) endRun();
      if (of < 0) return;
      run ??= { lines: 0, bytes: 0, at, of, times: 1 };
      run.lines++;
      run.bytes += bytes + 1; // with its line end
      [lastAt, lastOf] = [at, of];
    },
    longest: () => {
      endRun();
      return kept;
    },
  };
}
