/**
 * What a terminal can do. Escape sequences are only for terminals that understand them and for people who look at them:
 * a dumb terminal shows them as text, and the log of a CI job keeps every bar that was drawn over.
 */

type Stream = Pick<NodeJS.WriteStream, 'isTTY' | 'columns'>;

/** Whether escape sequences may be written at all. Without TERM nothing is known of the terminal. */
export const takesEscapes = ({ isTTY }: Stream): boolean =>
  isTTY && !['', 'dumb', undefined].includes(process.env['TERM']) && !isCi();

const isCi = (): boolean => !['', '0', 'false', undefined].includes(process.env['CI']?.toLowerCase());

/** Whether what is shown can be drawn over. Some pseudo-terminals have no size. */
export const canRedraw = (stream: Stream): boolean => takesEscapes(stream) && stream.columns > 0;

/** Whether text is coloured; see https://no-color.org. */
export const wantsColour = (stream: Stream): boolean => takesEscapes(stream) && !process.env['NO_COLOR'];
