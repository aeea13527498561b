/** What can go wrong, in the visitor's words, each with a way on. */

export interface Words {
  title: string;
  text: string;
  /** The button, or none where only another browser or machine helps. */
  action?: string;
  /** Whether that button takes the CPU in place of the GPU. */
  onCpu?: boolean;
}

const KINDS: Record<string, Words> = {
  "no-webgpu": {
    title: "This browser has no WebGPU",
    text:
      "Recent versions of Chrome, Edge, Safari and Firefox have it for pages served over https or from localhost. " +
      "The page runs on the processor too.",
    action: "Run on the CPU",
    onCpu: true,
  },
  "no-adapter": {
    title: "WebGPU is here, but it found no GPU",
    text:
      "The browser may have switched hardware acceleration off, or does not trust this driver: its page about graphics " +
      "(chrome://gpu, about:support) says why.",
    action: "Run on the CPU",
    onCpu: true,
  },
  unsupported: {
    title: "This GPU lacks something the engine needs",
    text: "Another browser, or a newer driver, may offer it. The page runs on the processor too.",
    action: "Run on the CPU",
    onCpu: true,
  },
  "device-lost": {
    title: "The GPU was taken away",
    text: "A driver restarted, the machine slept, or another page needed it all. Nothing is broken: the page can start over.",
    action: "Start again",
  },
  "out-of-memory": {
    title: "The device has too little memory for that",
    text: "The model takes about 140 MB of it. Close other tabs, or try a smaller batch.",
    action: "Start again",
  },
  download: {
    title: "The model did not arrive",
    text: "The connection broke, or the server does not have the file. What had arrived whole is kept.",
    action: "Download again",
  },
  integrity: {
    title: "The model arrived damaged",
    text: "A file does not match its checksum, so it was thrown away rather than run.",
    action: "Download again",
  },
  model: {
    title: "The model's files do not fit together",
    text: "They are what the server meant to send, but not a model that this page can run.",
    action: "Download again",
  },
  crashed: {
    title: "The engine stopped",
    text: "That should not happen. Starting over usually helps; a report of what is below would too.",
    action: "Start again",
  },
};

export function words(kind: string): Words {
  return KINDS[kind] ?? { title: "The device refused something", text: "Starting over may help.", action: "Start again" };
}

/** Whether the model is what failed, and the engine is still good. */
export const isOfModel = (kind: string) => ["download", "integrity", "model"].includes(kind);
