// Redeems the token of the link that led here, when the person asks for it.

const button = document.getElementById("redeem");
const outcome = document.getElementById("outcome");

button.addEventListener("click", async () => {
  button.disabled = true;
  try {
    const answer = await fetch("api/v1/email-tokens", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token: location.hash.slice(1) }),
    });
    const told = await answer.json();
    outcome.textContent = answer.ok ? `Thank you: ${told.purpose} done.` : told.detail;
    button.hidden = answer.ok || answer.status === 404;
  } catch {
    outcome.textContent = "The service does not answer; try again soon.";
  }
  button.disabled = false;
});
