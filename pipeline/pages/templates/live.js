"use strict";
const every = 1000, lost = document.getElementById("lost"), said = document.getElementById("said");
const from = new URL(document.querySelector("[data-from]").dataset.from, location.href);
function renew(live, fresh) {
  if (fresh.innerHTML === live.innerHTML) return;
  const focused = document.activeElement && document.activeElement.id;
  const log = live.querySelector("#log"), at = log ? log.scrollTop : 0;
  live.replaceChildren(...fresh.childNodes);
  if (log && document.getElementById("log")) document.getElementById("log").scrollTop = at;
  if (focused && live.querySelector("#" + CSS.escape(focused))) document.getElementById(focused).focus({preventScroll: true});
}
async function look() {
  if (!document.hidden) {
    try {
      const reply = await fetch(from, {headers: {Accept: "text/html"}, redirect: "manual"});
      if (reply.type === "opaqueredirect" || reply.status === 401) { location.assign(from); return; }
      if (!reply.ok) throw new Error(reply.status);
      const page = new DOMParser().parseFromString(await reply.text(), "text/html");
      for (const live of document.querySelectorAll("[data-live]")) {
        const fresh = page.getElementById(live.id);
        if (fresh) renew(live, fresh);
      }
      const word = page.getElementById("said"); // what screen readers say, where it has changed
      if (said && word && word.textContent !== said.textContent) said.textContent = word.textContent;
      document.title = page.title;
      lost.hidden = true;
      if (document.querySelector("[data-live] [data-over]")) return;
    } catch { lost.hidden = false; }
  }
  setTimeout(look, every);
}
setTimeout(look, every);
