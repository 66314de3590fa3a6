// Keys for reviewing. Every key presses a button or follows a link that is on the page, so nothing needs them.
// It runs before the page is drawn: whoever sees a file can press a key, however slowly scripts arrive.
'use strict';

const KEPT_AS = 'console-keys-off';
let sent = false;

function keysAreOn() {
	return localStorage.getItem( KEPT_AS ) === null;
}

function isTyping( target ) {
	return target instanceof HTMLElement && target.matches( 'input:not([type=checkbox]), textarea, select' );
}

// On other keyboards the same place has other signs: what is not a Latin letter or digit goes by its place.
function keyOf( event ) {
	const sign = event.key.toLowerCase();
	const place = /^(?:Key|Digit)(.)$/.exec( event.code );
	return /^[a-z0-9]$/.test( sign ) || !place || event.shiftKey ? sign : place[ 1 ].toLowerCase();
}

function press( key ) {
	const comment = document.getElementById( 'comment' );
	if ( key === 'c' && comment ) {
		comment.focus();
		return true;
	}
	const target = key === 'p' ?
		document.querySelector( '[data-toggle]' ) :
		document.querySelector( `[data-key="${ CSS.escape( key ) }"]` );
	if ( !target ) {
		return false;
	}
	target.click();
	return true;
}

document.addEventListener( 'keydown', ( event ) => {
	if ( event.key === 'Escape' && event.target.id === 'comment' ) {
		event.target.blur();
		return;
	}
	const plain = !( event.ctrlKey || event.altKey || event.metaKey || event.repeat );
	if ( plain && keysAreOn() && !isTyping( event.target ) && press( keyOf( event ) ) ) {
		event.preventDefault();
	}
} );

document.addEventListener( 'submit', ( event ) => {
	if ( !event.target.matches( '[data-verdicts]' ) ) {
		return;
	}
	if ( sent ) {
		event.preventDefault(); // a second press on the way to the next file would be about this one
	}
	sent = true;
} );

document.addEventListener( 'DOMContentLoaded', () => {
	const keysOn = document.getElementById( 'keys-on' );
	keysOn.checked = keysAreOn();
	keysOn.addEventListener( 'change', () => {
		if ( keysOn.checked ) {
			localStorage.removeItem( KEPT_AS );
		} else {
			localStorage.setItem( KEPT_AS, '1' );
		}
	} );
	if ( document.querySelector( '[data-verdicts]' ) && document.getElementById( 'said' ) ) {
		document.getElementById( 'file' ).focus( { preventScroll: true } );
	}
} );

window.addEventListener( 'pageshow', () => {
	sent = false; // the page can come back from the history
} );
