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
      const log = live.querySelector("pre"), at = log && {top: log.scrollTop, end: log.scrollTop + log.clientHeight >= log.scrollHeight - 4};
      if (fresh && fresh.innerHTML !== live.innerHTML) {
        live.replaceChildren(...fresh.childNodes);
        const again = live.querySelector("pre");
        if (again) again.scrollTop = !at || at.end ? again.scrollHeight : at.top;
        if (focused && live.querySelector("#" + CSS.escape(focused))) document.getElementById(focused).focus({preventScroll: true});
      }
      lost.hidden = true;
      if (live.querySelector("[data-over]")) return;
    } catch { lost.hidden = false; }
  }
  setTimeout(look, every);
}
const log = document.querySelector("#live pre");
if (log) log.scrollTop = log.scrollHeight;
setTimeout(look, every);
