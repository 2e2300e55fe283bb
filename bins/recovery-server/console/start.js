// Loads the page. A browser may break off what it is fetching, as when the networks of its machine change, and does not
// fetch a module again by itself. So this does, and says so meanwhile: the page is loaded again after a second, then
// after two, four, and so on.

/// The longest pause, in ms.
const LONGEST = 60_000;

const attempts = () => history.state?.attempts ?? 0;

/// Without the modules that the rest of the page uses: they may be what is missing.
function say(words, ...more) {
  const notice = document.createElement("div");
  notice.className = "notice is-bad";
  notice.setAttribute("role", "alert");
  const text = document.createElement("p");
  text.append(words);
  notice.append(text, ...more);
  document.getElementById("banner").replaceChildren(notice);
}

function again() {
  // Survives a reload of the page and nothing else.
  history.replaceState({ attempts: attempts() + 1 }, "");
  location.reload();
}

try {
  const { begin } = await import("./main.js");
  history.replaceState(null, "");
  begin();
} catch (error) {
  const pause = Math.min(1000 * 2 ** attempts(), LONGEST);
  const button = document.createElement("button");
  button.type = "button";
  button.className = "button";
  button.textContent = "Load it now";
  button.addEventListener("click", again);
  say(`Part of this page did not arrive (${error.message}). It is loaded again in ${pause / 1000} s.`, button);
  setTimeout(again, pause);
}
