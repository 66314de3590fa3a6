/* One row of a report page: its buttons, its comment, and what became of the last save. */
( function ( review ) {
	'use strict';

	const VERDICTS = [ 'nsfw-delete', 'nsfw-keep', 'sfw', 'unsure' ];
	const MAX_COMMENT_CHARACTERS = 500;

	/**
	 * @param {string} tag
	 * @param {string} className
	 * @param {string} [text]
	 * @return {HTMLElement}
	 */
	review.element = ( tag, className, text ) => {
		const made = document.createElement( tag );
		made.className = className;
		made.textContent = text || '';
		return made;
	};

	/**
	 * @param {string} className
	 * @param {string} label
	 * @param {Function} action
	 * @return {HTMLButtonElement}
	 */
	review.button = ( className, label, action ) => {
		const made = review.element( 'button', className, label );
		made.type = 'button';
		made.addEventListener( 'click', action );
		return made;
	};

	/**
	 * Why something was not saved, for people.
	 *
	 * @param {Error} error See saving.js
	 * @return {string}
	 */
	review.explain = ( error ) => {
		if ( error.code === 'changed' ) {
			return review.say( 'changed', error.message );
		}
		return [ 'norow', 'busy', 'http' ].includes( error.code ) ? review.say( error.code ) : error.message;
	};

	/**
	 * The comment as it stands in the wikitext, if the template tells; else as it is shown.
	 *
	 * @param {Object} given The row's data attributes
	 * @return {string}
	 */
	function writtenComment( given ) {
		try {
			return review.unescapeValue( decodeURIComponent( given.commentEncoded || '%' ) );
		} catch ( error ) {
			return given.comment || '';
		}
	}

	/**
	 * @class
	 * @param {HTMLElement} element The row
	 * @param {number} index Counted from 1
	 * @param {number} count How many rows there are
	 * @param {Function} onChange Called when a verdict or a failure came or went
	 */
	review.Row = class {
		constructor( element, index, count, onChange ) {
			const given = element.dataset;
			this.element = element;
			this.id = given.id;
			this.file = given.file || '';
			this.verdict = given.verdict || '';
			this.comment = writtenComment( given );
			this.onChange = onChange;
			this.failed = false;
			this.pending = 0;
			this.undoable = [];
			this.preview = new review.Preview( this.file, element.getAttribute( 'data-at' ) || '' );
			this.build( review.say( 'row', index, count, this.file ) );
			this.refresh();
		}

		build( label ) {
			this.group = review.element( 'div', 'commons-review-controls' );
			this.group.tabIndex = -1;
			this.group.setAttribute( 'role', 'group' );
			this.group.setAttribute( 'aria-label', label );
			this.buttons = VERDICTS.map( ( verdict, index ) => {
				const made = review.button( 'commons-review-verdict', '', () => this.choose( verdict ) );
				made.dataset.verdict = verdict;
				const key = review.element( 'kbd', 'commons-review-key', String( index + 1 ) );
				key.setAttribute( 'aria-hidden', 'true' );
				made.append( key, review.element( 'span', '', review.say( verdict ) ) );
				return made;
			} );
			const verdicts = review.element( 'div', 'commons-review-verdicts' );
			verdicts.append.apply( verdicts, this.buttons );
			this.undoButton = review.button( 'commons-review-button', review.say( 'undo' ), () => this.undo() );
			this.state = review.element( 'span', 'commons-review-state' );
			const more = review.element( 'div', 'commons-review-more' );
			more.append( this.commentField(), this.saveComment, this.preview.switch, this.undoButton );
			this.group.append( verdicts, more, this.state, this.preview.figure );
			// The template's own words, which would go on saying what stood there before.
			this.shown = this.element.querySelector( '.commons-review-given' );
			this.element.querySelector( '.commons-review-actions' ).replaceChildren( this.group );
		}

		commentField() {
			const label = review.element( 'label', 'commons-review-comment' );
			const store = () => this.isDirty() && this.store( {} );
			this.field = review.element( 'input', '' );
			this.field.type = 'text';
			this.field.maxLength = MAX_COMMENT_CHARACTERS;
			this.field.value = this.comment;
			this.saveComment = review.button( 'commons-review-button', review.say( 'saveComment' ), () => {
				this.field.focus();
				store();
			} );
			this.field.addEventListener( 'input', () => this.refresh() );
			this.field.addEventListener( 'keydown', ( event ) => {
				if ( event.key === 'Enter' && !event.isComposing ) {
					event.preventDefault();
					store();
				} else if ( event.key === 'Escape' ) {
					this.focus();
				}
			} );
			label.append( review.element( 'span', '', review.say( 'comment' ) ), this.field );
			return label;
		}

		isDirty() {
			return this.field.value.trim() !== this.comment;
		}

		focus() {
			this.group.focus( { preventScroll: true } );
			this.element.scrollIntoView( { block: 'nearest' } );
		}

		refresh() {
			for ( const made of this.buttons ) {
				made.setAttribute( 'aria-pressed', String( made.dataset.verdict === this.verdict ) );
			}
			if ( this.shown ) {
				this.shown.textContent = review.say( this.verdict );
			}
			this.saveComment.hidden = !this.isDirty();
			this.undoButton.hidden = !this.undoable.length;
			this.element.classList.toggle( 'commons-review-done', this.verdict !== '' );
			this.group.setAttribute( 'aria-busy', String( this.pending > 0 ) );
			this.onChange();
		}

		report( state, text ) {
			this.state.dataset.state = state;
			this.state.textContent = text;
			this.failed = state === 'failed';
			if ( state !== 'saving' ) {
				review.announce( this.file + '. ' + text );
			}
			this.refresh();
		}

		choose( verdict ) {
			const last = this.undoable[ this.undoable.length - 1 ];
			if ( verdict !== this.verdict || this.pending ) {
				this.store( { verdict: verdict } );
			} else if ( last && last.set.verdict === verdict && !this.isDirty() ) {
				this.report( 'saved', review.say( 'saved', review.say( verdict ) ) );
			} else {
				this.agree();
			}
		}

		/**
		 * Save a verdict, and a comment that was typed; a comment nobody touched stays as it is in the wikitext.
		 *
		 * @param {Object} changes
		 */
		store( changes ) {
			if ( this.isDirty() ) {
				changes.comment = review.escapeValue( this.field.value );
			}
			this.send( changes.verdict || 'comment', ( former ) => {
				const isMine = ( name ) => [ '', changes[ name ] ].includes( former[ name ] ) ||
					review.unescapeValue( former[ name ] ) === this[ name ];
				this.refuse( former, Object.keys( changes ).find( ( name ) => !isMine( name ) ) );
				return changes;
			} ).then( ( done ) => {
				this.remember( done );
				this.report( 'saved', review.say( 'saved', review.say( changes.verdict || 'comment' ) ) );
			}, () => {} );
		}

		/** The verdict that stands is right: as by hand, a "+1" in the comment says so in the history. */
		agree() {
			const typed = this.isDirty() ? review.escapeValue( this.field.value ) : null;
			const verdict = this.verdict;
			this.send( '+1 ' + verdict, ( former ) => {
				const isOther = former.verdict !== verdict ? 'verdict' : '';
				const isTyped = typed !== null && review.unescapeValue( former.comment ) !== this.comment ? 'comment' : '';
				this.refuse( former, isOther || isTyped );
				return { comment: ( ( typed === null ? former.comment : typed ) + ' &#43;1' ).trim() };
			} ).then( ( done ) => {
				this.field.value = this.comment;
				this.remember( done );
				this.report( 'saved', review.say( 'agreed', review.say( verdict ) ) );
			}, () => {} );
		}

		/** Put back what stood there before, unless somebody changed it since. */
		undo() {
			const last = this.undoable.pop();
			if ( !last ) {
				review.announce( review.say( 'nothing' ) );
				return;
			}
			const names = Object.keys( last.set );
			const changes = {};
			names.forEach( ( name ) => {
				changes[ name ] = last.former[ name ];
			} );
			this.focus();
			this.send( 'undo', ( former ) => {
				this.refuse( former, names.find(
					( name ) => ![ last.set[ name ], changes[ name ] ].includes( former[ name ] )
				) );
				return changes;
			} ).then( () => {
				this.field.value = this.comment;
				this.report( 'saved', review.say( 'undone', review.say( this.verdict ) ) );
			}, ( error ) => {
				if ( error.code !== 'changed' ) {
					this.undoable.push( last );
					review.history.push( this );
					this.refresh();
				}
			} );
		}

		remember( done ) {
			if ( Object.keys( done.changes ).some( ( name ) => done.former[ name ] !== done.changes[ name ] ) ) {
				this.undoable.push( { set: done.changes, former: done.former } );
				review.history.push( this );
			}
		}

		/**
		 * Fail, and show what stands there now, where somebody else's value would be lost.
		 *
		 * @param {Object} former Values that stand there, as wikitext
		 * @param {string} [lost] Name of the parameter; nothing happens without it
		 */
		refuse( former, lost ) {
			if ( lost ) {
				this.verdict = VERDICTS.includes( former.verdict ) ? former.verdict : '';
				this.comment = review.unescapeValue( former.comment );
				throw review.failure( 'changed', lost === 'verdict' && this.verdict ?
					review.say( this.verdict ) : review.unescapeValue( former[ lost ] ) );
			}
		}

		send( what, change ) {
			const title = mw.config.get( 'wgPageName' );
			const guide = title.split( '/' )[ 0 ].replace( /_/g, ' ' ) + '/Review/Guide';
			this.pending++;
			this.report( 'saving', review.say( 'saving' ) );
			return review.save( {
				title: title,
				id: this.id,
				change: change,
				summary: 'Review of ' + this.id + ': ' + what + ' (' + review.link( guide, 'script' ) + ')'
			} ).then( ( done ) => {
				this.pending--;
				Object.keys( done.changes ).forEach( ( name ) => {
					this[ name ] = review.unescapeValue( done.changes[ name ] );
				} );
				return done;
			}, ( error ) => {
				this.pending--;
				this.report( 'failed', review.say( 'failed', review.explain( error ) ) );
				throw error;
			} );
		}
	};
}( mw.commonsReview ) );
