// The visitor's file plays from the browser's own memory, so the server never gives a file back.
(() => {
  let address = null;
  const keep = (files) => {
    if (!files || !files.length) return;
    if (address) URL.revokeObjectURL(address);
    address = URL.createObjectURL(files[0]);
  };
  document.addEventListener("change", (event) => keep(event.target.files), true);
  document.addEventListener("drop", (event) => keep(event.dataTransfer && event.dataTransfer.files), true);
  document.addEventListener("paste", (event) => keep(event.clipboardData && event.clipboardData.files), true);
  new MutationObserver(() => {
    const video = document.querySelector("video.preview:not([src])");
    if (!video || !address) return;
    // A container or codec that the browser does not know stays hidden.
    video.addEventListener("loadeddata", () => { video.hidden = false; });
    video.src = address;
  }).observe(document.documentElement, { childList: true, subtree: true });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-seconds]");
    const video = document.querySelector("video.preview");
    if (!button || !video) return;
    video.currentTime = Number(button.dataset.seconds);
    video.play();
  });
})();
