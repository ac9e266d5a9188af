// Browsers start no worker from a file: where the site is read so, its search runs in a
// hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      const inside = frame.contentWindow;
      inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}));
      const script = inside.document.createElement("script");
      const ready = new Promise(resolve => script.addEventListener("load", resolve));
      script.src = url;
      inside.document.body.append(script);
      this.postMessage = data => ready.then(
        () => inside.dispatchEvent(new MessageEvent("message", {data})));
    }
  };
}
