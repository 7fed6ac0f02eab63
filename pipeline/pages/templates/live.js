"use strict";
const every = 1000, lost = document.getElementById("lost");
const from = new URL(document.getElementById("live").dataset.from, location.href);
async function look() {
  if (!document.hidden) {
    try {
      const reply = await fetch(from, {headers: {Accept: "text/html"}, redirect: "manual"});
      if (reply.type === "opaqueredirect" || reply.status === 401) { location.assign(from); return; }
      if (!reply.ok) throw new Error(reply.status);
      const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").getElementById("live");
      const live = document.getElementById("live"), focused = document.activeElement && document.activeElement.id;
      const log = document.getElementById("log"), at = log ? log.scrollTop : 0;
      if (fresh && fresh.innerHTML !== live.innerHTML) {
        live.replaceChildren(...fresh.childNodes);
        if (document.getElementById("log")) document.getElementById("log").scrollTop = at;
        if (focused && live.querySelector("#" + CSS.escape(focused))) document.getElementById(focused).focus({preventScroll: true});
      }
      lost.hidden = true;
      if (live.querySelector("[data-over]")) return;
    } catch { lost.hidden = false; }
  }
  setTimeout(look, every);
}
setTimeout(look, every);
