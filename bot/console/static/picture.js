// The picture stays blurred, by the server, until this reviewer asks; without scripts the button reloads the page.
'use strict';

for ( const part of document.querySelectorAll( '[data-picture]' ) ) {
	const image = part.querySelector( 'img' );
	const button = part.querySelector( '[data-toggle]' );
	if ( !button ) {
		continue;
	}
	button.addEventListener( 'click', ( event ) => {
		event.preventDefault();
		const clear = button.getAttribute( 'aria-pressed' ) !== 'true';
		image.src = clear ? image.dataset.clear : image.dataset.blurred;
		image.alt = clear ? 'The kept picture' : 'The kept picture, grey and blurred beyond recognition';
		button.setAttribute( 'aria-pressed', String( clear ) );
		button.querySelector( '[data-toggle-text]' ).textContent =
			clear ? 'Blur the picture' : 'Show the picture clearly';
	} );
}
