/* A file's preview: fetched only when asked for, covered until asked for once more. */
( function ( review ) {
	'use strict';

	const WIDTH_PX = 330; // one of Wikimedia's standard widths
	// Inline, so that a style sheet that did not load uncovers nothing.
	const COVER = 'blur(18px) grayscale(1)';

	/**
	 * How MediaWiki is asked for another picture than a file's first one.
	 *
	 * @param {string} at `0:12` in a video, `p. 2` in a document
	 * @return {string} A value of iiurlparam; empty for the first picture
	 */
	function placeParameter( at ) {
		const page = at.match( /^p\. (\d+)$/ );
		if ( page ) {
			return 'page' + page[ 1 ] + '-' + WIDTH_PX + 'px';
		}
		const seconds = /^[\d:]+$/.test( at ) ? at.split( ':' ).reduce( ( sum, part ) => 60 * sum + Number( part ), 0 ) : 0;
		return seconds ? WIDTH_PX + 'px-seek=' + seconds : '';
	}

	function fetchAddress( file, at ) {
		const parameters = {
			action: 'query',
			titles: [ 'File:' + file ],
			prop: 'imageinfo',
			iiprop: 'url',
			iiurlwidth: WIDTH_PX
		};
		const ask = ( more ) => review.request( ( api ) => api.get( Object.assign( more, parameters ) ) );
		// Handlers that know no position refuse the parameter or ignore it.
		const place = placeParameter( at );
		const answer = place ? ask( { iiurlparam: place } ).catch( () => ask( {} ) ) : ask( {} );
		return answer.then( ( data ) => {
			const info = ( data.query.pages[ 0 ].imageinfo || [] )[ 0 ];
			if ( !info || !info.thumburl ) {
				throw review.failure( 'noPreview' );
			}
			return info.thumburl;
		} );
	}

	function load( image, address ) {
		return new Promise( ( resolve, reject ) => {
			image.onload = resolve;
			image.onerror = () => reject( review.failure( 'noPreview' ) );
			image.src = address;
		} );
	}

	/**
	 * @class
	 * @param {string} file Title without its namespace
	 * @param {string} at Position in it; may be empty
	 */
	review.Preview = class {
		constructor( file, at ) {
			const toggle = ( label, action ) => review.button( 'commons-review-button', review.say( label ), action );
			this.source = [ file, at ];
			this.state = 'hidden';
			this.switch = toggle( 'preview', () => this.show( this.state === 'hidden' ? 'blurred' : 'hidden' ) );
			this.figure = review.element( 'div', 'commons-review-preview' );
			this.uncover = toggle( 'unblur', () => this.show( this.state === 'clear' ? 'blurred' : 'clear' ) );
			this.note = review.element( 'p', 'commons-review-note' );
			this.show( 'hidden' );
		}

		/** What the key does: covered, then clear, then away. A picture that is still on its way stays covered. */
		next() {
			const order = { hidden: 'blurred', blurred: this.loaded ? 'clear' : 'blurred', clear: 'hidden', none: 'hidden' };
			this.show( order[ this.state ] );
			review.announce( this.state === 'hidden' ? review.say( 'hide' ) : this.note.textContent || this.image.alt );
		}

		show( state ) {
			this.state = state;
			const shown = state !== 'hidden', clear = state === 'clear';
			this.figure.hidden = !shown;
			this.switch.textContent = review.say( shown ? 'hide' : 'preview' );
			this.switch.setAttribute( 'aria-expanded', String( shown ) );
			this.uncover.textContent = review.say( clear ? 'blur' : 'unblur' );
			if ( shown && !this.image ) {
				this.fetch();
			}
			if ( this.image ) {
				this.image.style.filter = clear ? '' : COVER;
				this.image.alt = review.say( clear ? 'clear' : 'blurred' );
			}
		}

		fetch() {
			const image = this.image = review.element( 'img', 'commons-review-image' );
			const frame = review.element( 'div', 'commons-review-frame' );
			frame.append( image );
			this.loaded = false;
			this.note.textContent = '';
			this.uncover.hidden = true;
			this.figure.replaceChildren( frame, this.uncover, this.note );
			fetchAddress.apply( null, this.source ).then( ( address ) => load( image, address ) ).then( () => {
				this.loaded = true;
				this.uncover.hidden = false;
			} ).catch( ( error ) => {
				frame.remove();
				this.image = null;
				this.state = 'none';
				this.note.textContent = error.code === 'noPreview' ? review.say( 'noPreview' ) : review.explain( error );
				review.announce( this.note.textContent );
			} );
		}
	};
}( mw.commonsReview ) );
