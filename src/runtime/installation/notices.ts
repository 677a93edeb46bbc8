/** What has to be said while TensorFlow is loaded. The program shows it; in the JavaScript API, Node warns. */

export interface Notices {
  warn(message: string): void;
  /** Called while libtensorflow is unpacked into a folder. @param share from 0 to 1, in the end 1 even if it fails */
  unpacking(folder: string, bytes: number, share: number): void;
}

export const notices: Notices = {
  warn: (message) => process.emitWarning(message, 'clm'),
  unpacking: () => {},
};
